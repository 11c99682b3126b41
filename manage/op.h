/*
 * Operations: what the management API can do. One table a file (manage/ops_…c), a row an operation; everything
 * else comes from the rows: which paths there are (manage/api.c), who may (manage/permission.h), what is taken
 * (manage/validate.h), what the OpenAPI document says (manage/openapi.c), and what the tests walk.
 *
 * Most rows name a command of the ledger process and nothing more: its arguments are the validated fields, its
 * result is the answer. The rest have a function:
 *
 *     static void login_run(struct op_call *call)
 *     {
 *         struct jw jw;
 *
 *         op_ask_begin(call, &jw, "person.find");
 *         jw_key_str(&jw, "email", op_str(call, "email"));
 *         op_ask(call, &jw, OP_ASK_AGAIN, login_found);   login_found() replies, or asks again
 *     }
 *
 * Each must end in exactly one reply: op_answer(), op_refuse() or its kin, or one of its own by
 * request_head() … after op_head().
 */
#ifndef MANAGE_OP_H
#define MANAGE_OP_H

#include "base/base.h"
#include "base/buf.h"
#include "base/js.h"
#include "base/jw.h"
#include "manage/caller.h"
#include "manage/lang.h"
#include "manage/ledger_client.h"
#include "manage/permission.h"
#include "manage/request.h"

/* ---- fields: what is taken, and what an answer has ---- */

enum field_in { IN_BODY = 0, IN_PATH, IN_QUERY };

enum field_type {
    FIELD_STRING = 1, /* min, max: characters (max 0: 256). One line: no control characters unless multiline */
    FIELD_TEXT,       /* the same with line ends and tabs; max 0: 65,536 */
    FIELD_SECRET,     /* a password, code or token: as FIELD_STRING with any characters but NUL; never shown again */
    FIELD_EMAIL,
    FIELD_ID,      /* of an entity: a whole number from 1 to 4294967295 */
    FIELD_INT,     /* min, max (0: 4294967295) */
    FIELD_CREDITS, /* "12.5": min, max in micro-credits (max 0: what an account may hold) */
    FIELD_DECIMAL, /* "0.3": up to six places; min, max in millionths (max 0: 1) */
    FIELD_BUDGET,  /* "100", "100/day", "100/week", "100/month" */
    FIELD_TIME,    /* RFC 3339, a date, or a span as "24h": back from now, or on from it for what is to come */
    FIELD_BOOL,
    FIELD_ENUM,    /* one of values */
    FIELD_STRINGS, /* a list of them: min, max (0: 100) many; each as FIELD_STRING, or one of values if there are
                      any. In a query separated by commas */
    FIELD_INTS,    /* a list of whole numbers: min, max (0: 100) many; in a body */
    FIELD_OBJECT,  /* members, or any at all when there are none */
    FIELD_OBJECTS, /* a list of them: min, max (0: 100) */
    FIELD_URL,     /* https://… or http://… */
    FIELD_ANY,     /* any JSON value; in answers */
    FIELD_TYPE_COUNT
};

/* Ends a table: a name of NULL. */
struct field {
    const char *name;
    enum field_in in;
    enum field_type type;
    bool required;  /* of an answer: always there unless optional */
    bool nullable;  /* null is a value of its own, and sent on; else it is as if the field was not there */
    bool optional;  /* of an answer */
    int64_t min, max;
    const char *const *values;   /* NULL ends them */
    const struct field *members; /* of FIELD_OBJECT, FIELD_OBJECTS */
    const char *ref;             /* of FIELD_OBJECT, FIELD_OBJECTS in an answer: a schema's name instead */
    const char *arg;             /* what the ledger calls it; NULL: the same */
    const char *example;         /* as JSON; NULL: made from the type. In the document, and used by the tests */
    const char *doc;
};

/* A result: the members of one JSON object. */
struct schema {
    const char *name; /* "Key" */
    const char *doc;
    const struct field *members;
};

/* What an operation may refuse beside what all do: a code of the ledger's or its own, which problem.c has text
 * for. */
struct op_refusal {
    unsigned status;
    const char *code;
};

/* ---- operations ---- */

struct op_call;

enum op_flags {
    OP_AUTH = 1,     /* signs in, registers, sends codes: tight limits by address and account (field "email") */
    OP_NO_CSRF = 2,  /* of a cookie's session nothing is used or changed by it: needs no token */
    OP_LONG = 4,     /* may take up to a minute */
    OP_STREAM = 8,   /* answers something else than JSON, or in parts: type is its media type */
    OP_NO_CREDENTIAL = 16, /* of PERM_NONE: what comes with the request is not even looked at */
};

struct op {
    const char *id;           /* "keys.create" */
    const char *method, *path; /* "POST", "/api/v1/keys/{id}/rotate": what is in braces is in params, IN_PATH */
    enum perm perm;
    enum perm own;   /* who has only this one sees and changes only their own: the command gets "only_member".
                        PERM_NONE: there is no such thing */
    unsigned scopes; /* of keys that may call it; 0: none may, signing in is needed */
    unsigned flags;  /* enum op_flags */
    const struct field *params, *body; /* path and query; body. NULL: none */
    const char *result;  /* a schema's name; NULL with status 204, or OP_STREAM */
    const char *type;    /* of an answer of OP_STREAM */
    unsigned status;     /* of success; 0: 200 */
    const struct op_refusal *refusals; /* status 0 ends them; may be NULL */
    const char *doc;     /* one sentence first: the summary */
    const char *command; /* of the ledger. Its arguments: the fields, and "tenant" of the credential unless the
                            permission is the platform's */
    const char *const *fixed; /* further arguments: name, JSON value, …, NULL. May be NULL */
    void (*run)(struct op_call *call); /* NULL: asks command, and answers with its result */
};

/* NULL ends both. manage/op.c lists what the files have. */
extern const struct op *const op_tables[];
extern const struct schema *const schema_tables[];
const struct schema *schema_find(struct str name);

/* ---- a call of one ---- */

struct op_call {
    struct request *request; /* its arena is the call's */
    const struct op *op;
    struct caller caller; /* kind CALLER_NONE: not signed in */
    enum lang lang;
    bool own_only; /* allowed by op->own alone */
    struct buf args;        /* one JSON object: all fields as validated, by the ledger's names */
    struct js_value fields; /* the same, read */
    void *state;            /* run's own; from the arena */
    void (*on_gone)(struct op_call *call); /* the client left: what is under way beside the ledger's answers */

    /* api.c's and its neighbours' own. */
    struct op_cookie {
        const char *text; /* to be set with the reply; NULL: none */
    } cookie;
    struct str path_params[4]; /* decoded, until they are validated */
    uint64_t retry_after_s;
    struct buf line; /* the question that is being written: one at a time */
    struct ledger_ask *ask;
    void (*answered)(struct op_call *call, const struct ledger_answer *answer);
};

/* A field as validated, by the ledger's name; type JS_NONE when absent. */
struct js_value op_field(const struct op_call *call, const char *name);
bool op_has(const struct op_call *call, const char *name);
/* Its text, of strings, in the arena; STR_NONE when absent. */
struct str op_str(struct op_call *call, const char *name);
/* Whole numbers; 0 when absent. */
uint64_t op_u64(const struct op_call *call, const char *name);
bool op_flag(const struct op_call *call, const char *name);

/* A question to the ledger: begins the object of arguments with those of the credential ("tenant", "only_member");
 * more go between. */
void op_ask_begin(struct op_call *call, struct jw *jw, const char *cmd);
/* The same without a word of tenants: for commands about people, the platform, and nobody. */
void op_ask_begin_bare(struct op_call *call, struct jw *jw, const char *cmd);
/* All validated fields, as members. */
void op_ask_fields(struct op_call *call, struct jw *jw);

enum op_ask_how {
    OP_ASK_ONCE = 0, /* changes something: only asked again with the caller's Idempotency-Key */
    OP_ASK_AGAIN = 1, /* may be asked again without harm */
    OP_ASK_KEYED = 2, /* the one that the caller's Idempotency-Key is about. Of several commands of a call at most
                         one is */
};
typedef void (*op_answered_fn)(struct op_call *call, const struct ledger_answer *answer);
/*
 * Sends it, with who asks. answered comes once, later, unless the client leaves. An answer that is no LEDGER_DONE
 * is mostly passed to op_refused(). When nothing can be sent the call is refused (503) here, and answered never
 * comes.
 */
void op_ask(struct op_call *call, struct jw *jw, unsigned how, op_answered_fn answered);

/* ---- replies; the call is over after each of them ---- */

/* json: an object. Status of success: the operation's. */
void op_answer(struct op_call *call, struct str json);
void op_answer_empty(struct op_call *call); /* 204, or what the operation says with no body */
/* Begins a reply with the headers that all have; request_header(), and request_send() or chunks, go on. */
void op_head(struct op_call *call, unsigned status, const char *type);
/* The call's memory goes with its request: who ends it by request_send() or request_end() says so before. */
void op_over(struct op_call *call);

/* A refusal, or the end of an answer that has begun: a code of problem.c, and a sentence for people in English, which may be NULL: the code's own. */
void op_refuse(struct op_call *call, unsigned status, const char *code, const char *detail);
/* About one field. */
void op_refuse_field(struct op_call *call, unsigned status, const char *field, const char *code, const char *detail);
/* What the ledger said, when it did not do it. */
void op_refused(struct op_call *call, const struct ledger_answer *answer);

/* Cookies of a session; before op_answer(). max_age_s 0: as long as the browser runs. */
void op_set_session(struct op_call *call, struct str token, uint64_t max_age_s);
void op_clear_session(struct op_call *call);

/*
 * Work beside the loop for a call, such as a password's hash: run(arg) on a thread, then done(call, arg) on the
 * loop, or only give_back(arg) when the client left. arg is not the arena's: it outlives the request. Refuses
 * (503) when too much is under way, and gives back.
 */
void op_work(struct op_call *call, void (*run)(void *arg), void (*done)(struct op_call *call, void *arg),
             void (*give_back)(void *arg), void *arg);

#endif
