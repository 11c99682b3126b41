/*
 * Refusals as problem details (RFC 9457): a stable code for programs, a title and a sentence for people in their
 * language, and of a request's fields each one that is wrong.
 *
 *     {"type":"/api/v1/problems#taken","title":"Taken","status":409,"code":"taken","detail":"…",
 *      "request_id":"<its ID>","errors":[{"field":"name","in":"body","code":"too_long","detail":"…"}]}
 *
 * The codes and their texts are a table, listed at GET /api/v1/problems.
 */
#ifndef MANAGE_PROBLEM_H
#define MANAGE_PROBLEM_H

#include "base/base.h"
#include "base/buf.h"
#include "base/jw.h"
#include "manage/lang.h"
#include "manage/validate.h"

struct problem_text {
    const char *code;
    const char *title[LANG_COUNT];
    const char *detail[LANG_COUNT]; /* when nothing more exact is known */
};
/* code NULL ends it. */
extern const struct problem_text problem_texts[];
/* NULL: there is no such code. */
const struct problem_text *problem_find(struct str code);

struct problem {
    unsigned status;
    struct str code;
    struct str detail; /* in English, more exact than the code's own text; STR_NONE: that one */
    struct str hint;   /* further, likewise; STR_NONE: none */
    struct str field;  /* the one that it is about; STR_NONE: none */
    const struct faults *faults; /* NULL: none */
    struct str request_id;
    enum lang lang;
};
void problem_write(struct buf *out, const struct problem *problem);

/* The document's media type. */
#define PROBLEM_TYPE "application/problem+json"

/* The status of a refusal of the ledger's. */
unsigned problem_status(int exit_status, bool absent, bool has_field);

#endif
