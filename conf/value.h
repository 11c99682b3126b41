/*
 * One value: from its text to a number in the stored unit. Inside of conf/ only.
 *
 * Every function takes the row for its bounds and says what is wrong in a sentence without the
 * key's name ("\"3\" is not a duration; …"), NUL-terminated in `why`, when it returns false.
 */
#ifndef CONF_VALUE_H
#define CONF_VALUE_H

#include "base/base.h"
#include "conf/table.h"

#define VALUE_WHY_LEN 256

struct value_why {
    char text[VALUE_WHY_LEN];
};

/* Any type but strings and lists; CONF_T_BITS: one word of the list, as its index. */
bool value_number(const struct conf_key *key, struct str text, uint64_t *out,
                  struct value_why *why) MUST_CHECK;
/* Is the text fit to be a string of this row (length, no control bytes, UTF-8)? */
bool value_string(const struct conf_key *key, struct str text, struct value_why *why) MUST_CHECK;
/* A name that others refer to: letters, digits and . _ - : / @ + , `also` as well. */
bool
value_name(struct str text, size_t len_max, const char *also, struct value_why *why) MUST_CHECK;
/* The number in the unit that a person would write it in: "3s", "32m", "0.4". */
const char *value_text(const struct conf_key *key, uint64_t number, struct value_why *text);

#endif
