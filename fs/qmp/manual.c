#include "fs/qmp/manual.h"

#include "fs/qmp/command.h"
#include "fs/qmp/event-types.h"

#include <stdio.h>
#include <string.h>

/* One sentence a line, hyphens as they are, no line that looks like a request. */
static void print_text(const char *text)
{
  bool begins = true;
  for (const char *c = text; *c; c++) {
    if (begins && (*c == '.' || *c == '\''))
      fputs("\\&", stdout);
    begins = false;
    if (*c == '-')
      fputs("\\-", stdout);
    else if (*c == '\\')
      fputs("\\e", stdout);
    else if (*c == ' ' && c > text && strchr(".?!", c[-1]) && c[1]) {
      putchar('\n');
      begins = true;
    } else
      putchar(*c);
  }
}

static void print_line(const char *text)
{
  print_text(text);
  putchar('\n');
}

static void print_type(const BgfsQmpType *type)
{
  switch (type->kind) {
  case BGFS_QMP_ENUM:
    for (const char *const *value = type->values; *value; value++) {
      print_text(*value);
      fputs(value[1] ? " | " : "", stdout);
    }
    return;
  case BGFS_QMP_ARRAY:
    fputs("list of ", stdout);
    print_text(bgfs_qmp_type_word(type->element));
    fputs("s", stdout);
    return;
  default:
    print_text(bgfs_qmp_type_word(type));
  }
}

static void print_members(const BgfsQmpMember *members)
{
  if (!members || !members->name)
    return;
  printf(".Bl -tag -width Ds -compact\n");
  for (; members->name; members++) {
    printf(".It Va ");
    print_text(members->name);
    printf(" Pq ");
    print_type(members->type);
    printf("%s\n", members->optional ? "; optional" : "");
    print_line(members->help);
  }
  printf(".El\n");
}

/* Each set of members once. */
static void print_variants(const BgfsQmpVariant *variants)
{
  for (const BgfsQmpVariant *variant = variants; variant && variant->value; variant++)
    if (variant == variants || variant->type != variant[-1].type)
      print_members(variant->type->members);
}

static void print_result(const BgfsQmpType *result)
{
  const BgfsQmpType *element = result->kind == BGFS_QMP_ARRAY ? result->element : result;
  if (element->kind != BGFS_QMP_OBJECT || !element->members->name)
    return;
  printf(".Pp\nReturns%s:\n", result == element ? "" : " a list of");
  print_members(element->members);
}

static void print_command(const BgfsQmpCommand *command)
{
  printf(".It Ic ");
  print_line(command->name);
  print_line(command->help);
  if (command->arguments->kind == BGFS_QMP_BLOCKDEV_OPTIONS)
    printf("Arguments are the node's options.\n");
  print_members(command->arguments->members);
  print_variants(command->arguments->variants);
  print_result(command->result);
}

void bgfs_qmp_print_manual(void)
{
  printf(".Sh COMMANDS\n.Bl -tag -width Ds\n");
  for (const BgfsQmpCommand *const *table = bgfs_qmp_commands(); *table; table++)
    for (const BgfsQmpCommand *command = *table; command->name; command++)
      print_command(command);
  printf(".El\n.Sh EVENTS\n.Bl -tag -width Ds\n");
  for (const BgfsQmpEventType *event = bgfs_qmp_event_types; event->name; event++) {
    printf(".It Dv ");
    print_line(event->name);
    print_line(event->help);
    print_members(event->data->members);
  }
  printf(".El\n");
}
