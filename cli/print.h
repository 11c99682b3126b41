/* What people read: fields one below the other, and plain tables, from an answer's JSON. */
#ifndef CLI_PRINT_H
#define CLI_PRINT_H

#include "base/base.h"
#include "base/js.h"

#define PRINT_END {NULL, NULL, false}

struct print_column {
    const char *path; /* of the value in the row: "tokens.input" */
    const char *head;
    bool right; /* a number */
};

/* Rows of an array; nothing but the heads when it is empty. `what` is said instead then. */
void print_table(struct js_value array, const struct print_column *columns, const char *nothing);
/* "head  value" a line; absent values are left out. */
void print_fields(struct js_value object, const struct print_column *fields);
/* A value as text: strings unescaped and made safe for a terminal, a budget as "10/day (used 2)". */
void print_value(struct js_value value, char *out, size_t cap);
struct js_value print_at(struct js_value object, const char *path);

#endif
