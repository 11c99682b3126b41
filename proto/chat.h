/*
 * The neutral form of a conversation: what a request of any of the four protocols asks for, and what
 * any of their answers brings. A decoder and an encoder a protocol meet here (codec.h), so that no
 * protocol knows another; a call whose client and upstream speak the same one never comes here.
 *
 * A request is a tree in an arena over the client's body, which js_check() has passed. Strings stay
 * where they are, in JSON's own spelling: a struct js_value of type JS_STRING whose raw is what
 * stands between the quotes, escapes and all. What was text in one JSON and is text in another is
 * thus copied without a look at it (jw_js()); only what changes its kind (arguments that are text in
 * one protocol and an object in another, a data URL that is cut in two) is unescaped or escaped.
 *
 * An answer is a sequence of deltas (struct chat_delta), streamed or whole: the decoder of a whole
 * answer gives the same sequence with larger pieces. So a client can have a stream where the upstream
 * answers whole, and the other way round.
 *
 * What has no equivalent at the upstream's protocol is refused with the field's path where dropping
 * it would change what the answer means, and else dropped and named (struct chat_drops).
 */
#ifndef PROTO_CHAT_H
#define PROTO_CHAT_H

#include "base/arena.h"
#include "base/base.h"
#include "base/buf.h"
#include "base/js.h"
#include "proto/error.h"
#include "proto/proto.h"
#include "proto/usage.h"

/* ---- requests ---- */

/* Each call of a turn is compared with the others, and each name with those that are kept: both lists
 * are short, or a body of some megabytes would take minutes. */
#define CHAT_CALLS_MAX 512 /* calls in one message of the assistant's */
#define CHAT_NAMES_MAX 512 /* tools that are called otherwise at the upstream */

enum chat_role {
    CHAT_SYSTEM = 0, /* also the developer's; anywhere in the conversation */
    CHAT_USER,
    CHAT_ASSISTANT,
    CHAT_TOOL, /* nothing but CHAT_PART_RESULT */
    CHAT_ROLE_COUNT
};

enum chat_part_kind {
    CHAT_PART_TEXT = 0,
    CHAT_PART_IMAGE,
    CHAT_PART_DOCUMENT,
    CHAT_PART_AUDIO,
    CHAT_PART_CALL,      /* the assistant calls a tool */
    CHAT_PART_RESULT,    /* what a tool answered */
    CHAT_PART_REASONING, /* the assistant's, sent back */
    CHAT_PART_REFUSAL,   /* likewise */
    CHAT_PART_KIND_COUNT
};

enum chat_source {
    CHAT_SOURCE_DATA = 0, /* base64 in data, of media_type */
    CHAT_SOURCE_URL,      /* in data */
    CHAT_SOURCE_TEXT,     /* a document that is plain text, in text */
};

enum chat_cache {
    CHAT_CACHE_NONE = 0,
    CHAT_CACHE_SHORT, /* the provider's usual time: 5 minutes */
    CHAT_CACHE_LONG,  /* 1 hour */
};

/* What the client executes, but for the last. */
enum chat_tool_kind {
    CHAT_TOOL_FUNCTION = 0,
    CHAT_TOOL_CUSTOM,      /* takes free text; elsewhere a function with one string, "input" */
    CHAT_TOOL_LOCAL_SHELL, /* of Responses; elsewhere a function called "local_shell" */
    CHAT_TOOL_HOSTED,      /* the provider's own: no other has it */
    CHAT_TOOL_ANSWER,      /* no client's: called with what the answer is; chat_answer_name() */
};

/* Fields that a kind of part does not use are zero: JS_NONE, NULL. */
struct chat_part {
    struct chat_part *next;
    enum chat_part_kind kind;
    enum chat_cache cache;
    struct js_value at;   /* the part in the body, for messages about it */
    struct js_value text; /* TEXT, REASONING, REFUSAL; a DOCUMENT that is text */

    /* IMAGE, DOCUMENT, AUDIO */
    enum chat_source source;
    struct js_value media_type; /* "image/png"; of a URL JS_NONE */
    struct js_value data;
    struct js_value name;   /* a document's file name or title */
    struct js_value detail; /* an image's: "low", "high", "auto" */

    /* CALL: id, name, and what it is called with. RESULT: id of the call it answers (JS_NONE until
     * chat_link() where the protocol pairs by order), name where the client states it. */
    struct js_value id, tool_name;
    struct js_value space; /* namespace of the tool, JS_NONE where there is none */
    enum chat_tool_kind tool;
    /* JS_OBJECT, or JS_STRING: text that should be an object, but is not checked. A CUSTOM tool's
     * input is a JS_STRING. chat_arguments() makes an object of it. */
    struct js_value arguments;
    /* RESULT */
    struct chat_part *content; /* TEXT, IMAGE, DOCUMENT */
    bool is_error;
    struct chat_part *call; /* the one it answers; chat_link() finds it */
    /* CALL: its answer; chat_link() finds it. */
    struct chat_part *result;

    /* REASONING: what proves it to its provider, opaque; with the tag of who made it
     * (chat_signature()). Also of a CALL (Gemini puts it there). */
    struct js_value signature;
    bool redacted; /* REASONING without text: all of it is the signature */
};

struct chat_message {
    struct chat_message *next;
    enum chat_role role;
    bool leading; /* SYSTEM: stood apart from the messages (system, instructions, systemInstruction) */
    struct js_value at;
    struct chat_part *parts; /* may be NULL: an empty message */
};

struct chat_tool {
    struct chat_tool *next;
    enum chat_tool_kind kind;
    struct js_value at;
    struct js_value name, space, description;
    struct js_value schema; /* JS_OBJECT; JS_NONE: without parameters */
    struct js_value strict; /* JS_TRUE, JS_FALSE, JS_NONE */
    struct js_value format; /* CUSTOM: a grammar, JS_NONE for free text */
    enum chat_cache cache;
    bool unlisted; /* not to be offered: the client allows only others (allowed tools) */
};

enum chat_choice {
    CHAT_CHOICE_UNSET = 0,
    CHAT_CHOICE_AUTO,
    CHAT_CHOICE_NONE,
    CHAT_CHOICE_ANY, /* some tool must be called */
    CHAT_CHOICE_ONE, /* this tool must be called */
};

enum chat_format {
    CHAT_FORMAT_TEXT = 0,
    CHAT_FORMAT_JSON,   /* any JSON object */
    CHAT_FORMAT_SCHEMA, /* JSON of this schema */
};

enum chat_thinking {
    CHAT_THINKING_UNSET = 0,
    CHAT_THINKING_OFF,
    CHAT_THINKING_ON,
};

enum chat_effort {
    CHAT_EFFORT_UNSET = 0,
    CHAT_EFFORT_MINIMAL,
    CHAT_EFFORT_LOW,
    CHAT_EFFORT_MEDIUM,
    CHAT_EFFORT_HIGH,
    CHAT_EFFORT_XHIGH,
    CHAT_EFFORT_MAX,
    CHAT_EFFORT_COUNT
};
extern const char *const chat_effort_name[CHAT_EFFORT_COUNT]; /* "minimal", …, "max"; UNSET "" */
uint32_t chat_budget_of(enum chat_effort effort); /* in tokens */

/* Fields that are a value and no more. A type that is wrong is the decoder's to refuse. */
enum chat_knob {
    CHAT_TEMPERATURE = 0,   /* number, 0..2 */
    CHAT_TOP_P,             /* number */
    CHAT_TOP_K,             /* whole number */
    CHAT_SEED,              /* whole number */
    CHAT_PRESENCE_PENALTY,  /* number */
    CHAT_FREQUENCY_PENALTY, /* number */
    CHAT_LOGIT_BIAS,        /* object */
    CHAT_END_USER,          /* string: user, safety_identifier, metadata.user_id */
    CHAT_CACHE_KEY,         /* string: prompt_cache_key */
    CHAT_CACHE_RETENTION,   /* string: how long, in OpenAI's words */
    CHAT_SERVICE_TIER,      /* string, in the client's own words */
    CHAT_VERBOSITY,         /* string: low, medium, high */
    CHAT_KNOB_COUNT
};

struct chat_field {
    struct js_value value; /* JS_NONE: absent */
    const char *name;      /* as the client calls it: "generationConfig.topP"; static */
};

/* Names of what could not be passed on, "logit_bias, seed": each once, as far as there is room. */
struct chat_drops {
    char text[240];
    size_t len;
};
/* name: printable ASCII; anything else is passed over. */
void chat_drop(struct chat_drops *drops, struct str name);

struct chat_name;

struct chat_request {
    struct str body;          /* the client's */
    struct js_value document; /* all of it, checked */
    struct arena *arena;
    enum proto_endpoint endpoint;

    struct chat_message *messages; /* in order; leading SYSTEM ones first */
    struct chat_tool *tools;

    enum chat_choice choice;
    struct js_value choice_name;  /* of ONE */
    struct js_value choice_space; /* its namespace, or JS_NONE */
    struct js_value choice_at;
    bool no_parallel; /* at most one call an answer */
    bool older_calls; /* chat: functions instead of tools, which cannot say more than one */

    bool stream;
    bool include_usage;     /* chat, completions: the client wants the chunk with the usage */
    bool include_encrypted; /* Responses: reasoning.encrypted_content is asked for */

    uint32_t output_max; /* tokens; 0: the client set no limit */
    uint32_t choice_count; /* at least 1 */
    struct js_value choice_count_at;

    bool logprobs;
    uint32_t top_logprobs;
    struct js_value logprobs_at;

    struct js_value *stops; /* strings */
    size_t stop_count;
    struct js_value stop_at;

    enum chat_format format;
    struct js_value format_at, schema, schema_name, schema_description, schema_strict;

    enum chat_thinking thinking;
    enum chat_effort effort;
    uint32_t thinking_budget; /* tokens; 0: not stated */
    bool thinking_shown;      /* the client wants to see the reasoning, or its summary */
    struct js_value thinking_at;

    struct chat_field knobs[CHAT_KNOB_COUNT];
    struct chat_drops drops; /* by the decoder */

    struct chat_name *names; /* tools that are called otherwise at the upstream; chat_sent_name() */
    size_t name_count;
};

/* How the upstream of a try is spoken to, beyond what its protocol says. */
struct chat_target {
    struct str model_json; /* what it calls the model, as a JSON string with its quotes */
    bool stream;
    uint32_t output_max;     /* the model's own limit in tokens; 0 unknown */
    bool can_think;          /* else what asks for thinking is dropped */
    bool think_by_effort;    /* thinking is asked for in words (adaptive, levels), not in tokens */
    bool no_sampling;        /* takes no temperature, top_p, top_k */
    bool no_schemas;         /* Anthropic: a schema of the answer is asked for by a tool */
    bool max_tokens_old;     /* OpenAI chat: "max_tokens" instead of "max_completion_tokens" */
    bool takes_reasoning;    /* OpenAI chat: wants reasoning_content sent back */
    bool takes_system_later; /* Anthropic: messages of the role system among the others */
    const char *tag;         /* signatures with this tag are its own; see chat_signature() */
};

/*
 * What holds of every conversation, whatever it came by, and the pairing of calls with results.
 * After it: the messages are not empty; each RESULT has its call (part->call), and an id and a name;
 * each CALL has its result. Calls without an id have one now, the same in every later request; where
 * a tool must be called there is one. Hosted tools are dropped, or refused where there is no other.
 */
bool MUST_CHECK chat_link(struct chat_request *r, struct proto_error *error);

/* False, always: an error of status 400 with the path of a value in the body (found by walking down
 * to it; "" for what is not in the body), its line and column. */
bool chat_refuse(const struct chat_request *r, struct js_value at, struct proto_error *error,
                 const char *fmt, ...) PRINTF_LIKE(4, 5);
/* False, always: the arena is full, or a buffer is. */
bool chat_no_room(struct proto_error *error);

/* For decoders: appended to the end of a list. NULL: no room. */
struct chat_message *chat_message_add(struct chat_request *r, struct chat_message ***end,
                                      enum chat_role role, struct js_value at) MUST_CHECK;
struct chat_part *chat_part_add(struct chat_request *r, struct chat_part ***end,
                                enum chat_part_kind kind, struct js_value at) MUST_CHECK;
struct chat_tool *chat_tool_add(struct chat_request *r, struct chat_tool ***end,
                                enum chat_tool_kind kind, struct js_value at) MUST_CHECK;

/* A JS_STRING of static text that needs no escapes. */
struct js_value chat_literal(const char *text);
/* A JS_STRING with this text; JS_NONE without room. */
struct js_value chat_string(struct arena *arena, struct str text) MUST_CHECK;
/* The text of a JS_STRING; ptr NULL without room. */
struct str chat_text(struct arena *arena, struct js_value string) MUST_CHECK;

/* "data:image/png;base64,AAAA" into its two halves, false when it is not such. Both are JS_STRINGs
 * that need no escapes. Takes any case, and parameters before ";base64". */
bool chat_data_url(struct arena *arena, struct js_value url, struct js_value *media_type,
                   struct js_value *data) MUST_CHECK;
/* Appends a JSON string that is the data URL of a part. */
void chat_write_data_url(struct buf *out, const struct chat_part *part);

/* A call's arguments as an object: what is empty is {}, what is no object {"_raw": …}, a CUSTOM
 * tool's {"input": …}. JS_NONE without room. */
struct js_value chat_arguments(struct arena *arena, const struct chat_part *call) MUST_CHECK;
/* Appends the JSON string that holds the arguments as text: compact, numbers and order as they are. */
void chat_write_arguments(struct buf *out, const struct chat_part *call);
/* Appends checked JSON without the white space between its tokens. */
void chat_write_compact(struct buf *out, struct str json);
/* Appends what a JSON string that holds this JSON has between its quotes: compact. */
void chat_write_json_as_text(struct buf *out, struct str json);

/* ---- names of tools, ids of calls ---- */

/* What a protocol takes as the name of a function. */
struct chat_name_rule {
    size_t len_max;
    const char *also;     /* characters beyond letters, digits, '_' and '-' */
    bool letter_first;    /* starts with a letter or '_' */
};

struct chat_name {
    struct chat_name *next;
    struct str sent;              /* plain: these need no escapes */
    struct js_value name, space;  /* of the client's tool */
    enum chat_tool_kind kind;
};

/*
 * What a tool is called at the upstream: its own name where that fits the rule and has no namespace,
 * else one made of both. A tool that is not a plain function, or called otherwise, is kept in r->names
 * to be found again when it is called. STR_NONE without room, or when CHAT_NAMES_MAX are kept.
 */
struct str chat_sent_name(struct chat_request *r, const struct chat_name_rule *rule,
                          enum chat_tool_kind kind, struct js_value space, struct js_value name)
    MUST_CHECK;

/* The name of a tool that is no client's, to be called with the answer: kept, too, so that the call is
 * known for what it is. STR_NONE without room. */
struct str chat_answer_name(struct chat_request *r) MUST_CHECK;

/* The id of a call as Anthropic takes it ([A-Za-z0-9_-]+, at most 64): itself where it fits, else the
 * same one for the same id every time. out has room for 64 bytes and more. Plain. */
#define CHAT_ID_CAP 72
struct str chat_plain_id(struct js_value id, char out[CHAT_ID_CAP]);

/* ---- signatures ---- */

/*
 * A signature belongs to the provider that made it. On its way to a client of another protocol it
 * gets a tag in front ("tp1.m.5f3a….", see codec_tag()); what comes back with the upstream's tag is
 * the upstream's own again, what has another is not sent. *out is what stands behind the tag.
 */
bool chat_signature(struct js_value tagged, const char *tag, struct js_value *out);

/* ---- answers ---- */

enum chat_delta_kind {
    CHAT_DELTA_START = 0, /* first, once: id and model as the upstream names them */
    CHAT_DELTA_TEXT,      /* text, and logprobs where there are some */
    CHAT_DELTA_REASONING, /* text */
    CHAT_DELTA_SIGNATURE, /* text, without a tag: of the reasoning before it, or, when redacted, of
                           * reasoning that is not shown. With a call: of that call */
    CHAT_DELTA_REFUSAL,   /* text */
    CHAT_DELTA_CALL,      /* a call begins: call, id, name */
    CHAT_DELTA_ARGUMENTS, /* call, text: a piece of the arguments' text */
    CHAT_DELTA_CALL_END,  /* call: all of its arguments were there. Decoders may leave it out */
    CHAT_DELTA_PING,      /* nothing, but a sign of life */
    CHAT_DELTA_USAGE,     /* usage: all up to now; the last one holds */
    CHAT_DELTA_FINISH,    /* finish, stop_sequence; once a choice */
    CHAT_DELTA_END,       /* last, once */
    CHAT_DELTA_KIND_COUNT
};

enum chat_finish {
    CHAT_FINISH_STOP = 0,
    CHAT_FINISH_STOP_SEQUENCE, /* which one is known */
    CHAT_FINISH_CALLS,
    CHAT_FINISH_LENGTH,  /* the limit of output */
    CHAT_FINISH_CONTEXT, /* the model's context is full */
    CHAT_FINISH_FILTER,  /* the provider's, or a refusal without text */
    CHAT_FINISH_REFUSAL, /* the model's own */
    CHAT_FINISH_COUNT
};

/* All texts are what stands between the quotes of a JSON string, valid during the callback. */
struct chat_delta {
    enum chat_delta_kind kind;
    uint32_t choice; /* 0 where there is only one */
    uint32_t call;   /* number of the call in its choice, from 0, as they first appear */
    struct str text;
    struct str id;   /* START, CALL; STR_NONE: the upstream gives none */
    struct str name; /* START: the model, STR_NONE unknown. CALL: the tool */
    /* CALL, on its way to an encoder: what the client calls it. */
    struct str space;
    enum chat_tool_kind tool;
    bool redacted;        /* SIGNATURE */
    bool of_call;         /* SIGNATURE: of the call, not of reasoning */
    struct js_value logprobs; /* TEXT: a list as in chat's logprobs.content; JS_NONE: none */
    enum chat_finish finish;
    struct str stop_sequence;
    const struct usage *usage; /* USAGE */
};

typedef void (*chat_delta_fn)(void *arg, const struct chat_delta *delta);

/* What encoders of answers know beside the deltas. */
struct chat_frame {
    struct str id;           /* the call's: all ids that an encoder makes are made of it. Plain */
    struct str model;        /* where START names none. JSON string content */
    int64_t created_s;       /* Unix time */
    uint64_t input_estimate; /* tokens */
    bool include_usage, include_encrypted;
    bool older_calls;        /* chat: as in the request */
    bool json_array;         /* Gemini without alt=sse: one list, not events */
    /* Members of the answer that repeat the request, as JSON (codec's echo_write()); empty: as if
     * it had said nothing. */
    struct str echo;
    char tag[32];            /* that signatures get; see chat_signature() */
};

/* An answer that is whole: what the deltas came to. Parts of kind TEXT, REASONING, REFUSAL, CALL in
 * their order; of CALL arguments is a JS_STRING, with the tool's name as the client calls it. */
struct chat_answer_choice {
    struct chat_answer_choice *next;
    uint32_t index;
    struct chat_part *parts;
    struct js_value logprobs; /* JS_ARRAY, or JS_NONE */
    enum chat_finish finish;
    struct js_value stop_sequence;
};

struct chat_answer {
    struct js_value id, model; /* as the upstream names them, or JS_NONE */
    struct chat_answer_choice *choices; /* at least one, by index */
    struct usage usage;                 /* state ABSENT: the upstream told none */
};

#endif
