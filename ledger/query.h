/* What queries share: names as the store numbers them. On any thread. */
#ifndef LEDGER_QUERY_H
#define LEDGER_QUERY_H

#include "ledger/command.h"

struct str query_name(struct command *command, uint32_t id); /* STR_NONE if unknown */
/* A member of what is written: the name, or null. */
void query_write_name(struct command *command, const char *key, uint32_t id);

#endif
