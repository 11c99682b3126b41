/*
 * What came with a request, held against an operation's fields: all faults at once, each with the field's path.
 * What holds becomes one JSON object of the ledger's names. Pure: no clock, no loop.
 */
#ifndef MANAGE_VALIDATE_H
#define MANAGE_VALIDATE_H

#include "base/arena.h"
#include "base/base.h"
#include "base/buf.h"
#include "base/js.h"
#include "manage/op.h"

/* More than these are not told. */
#define FAULTS_MAX 32u
/* Placeholders in a path. */
#define PATH_PARAMS_MAX 4u

/* Codes of faults; fault_code has their names. */
enum fault_kind {
    FAULT_REQUIRED = 0,
    FAULT_UNKNOWN,   /* "unknown_field" */
    FAULT_DUPLICATE,
    FAULT_TYPE,      /* "wrong_type" */
    FAULT_TOO_LONG,  /* max */
    FAULT_TOO_SHORT, /* min */
    FAULT_RANGE,     /* "out_of_range": min, max */
    FAULT_CHOICE,    /* "not_one_of": values */
    FAULT_CHARACTERS, /* "invalid_characters" */
    FAULT_INVALID,   /* not of the form that the type has */
    FAULT_KIND_COUNT
};
extern const char *const fault_code[];

struct fault {
    enum fault_kind kind;
    enum field_in in;
    struct str path;           /* "weights.cost", "models[2]"; in the arena */
    const struct field *field; /* NULL: of one that there is not */
};

struct faults {
    struct fault list[FAULTS_MAX];
    unsigned count; /* at most FAULTS_MAX */
};

struct validate_input {
    const struct op *op;
    struct str path_params[PATH_PARAMS_MAX]; /* decoded, in the order of the placeholders */
    struct str query;                        /* as it came */
    struct js_value body;                    /* an object, or JS_NONE */
};

/*
 * Writes the object to args, and gives the faults. 0, or -ENOMEM, and then nothing of either counts. After
 * faults args is of no use.
 */
int MUST_CHECK validate(struct arena *arena, const struct validate_input *input, struct buf *args,
                        struct faults *faults);

/*
 * Percent-decoded into the arena; plus: '+' is a blank, as in queries. STR_NONE for what is malformed, holds a NUL or
 * is no UTF-8, and when memory is short.
 */
struct str percent_decode(struct arena *arena, struct str text, bool plus);

#endif
