/* Memory for keys and passphrases: left out of core dumps, not swapped where the system lets us, wiped when it is given back. */
#ifndef BG_CRYPTO_MEMORY_H
#define BG_CRYPTO_MEMORY_H

#include <stddef.h>

/* Zeroed, whole pages: for few and lasting things. NULL: no memory. */
void *bg_secret_alloc(size_t length);
/* `length` as it was allocated. NULL is fine. */
void bg_secret_free(void *memory, size_t length);

#endif
