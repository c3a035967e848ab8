/* libcriterion never frees what it makes of parameterized tests: not a leak of ours. Asked by AddressSanitizer's run time. */
const char *__lsan_default_suppressions(void);

const char *__lsan_default_suppressions(void)
{
  return "leak:libcriterion\n";
}
