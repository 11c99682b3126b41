/*
 * The mock's own header: a model provider made of string tables. It speaks OpenAI chat, completions,
 * embeddings and responses, Anthropic messages and Gemini, streaming and not, answers the same
 * request with the same words, counts what it really produced, and misbehaves on request (README.md
 * here has the list). Tests hold it up as the other party's books; benches put load on it, so it
 * must cost far less than the proxy in between: one process one loop, edge-triggered epoll without
 * a single epoll_ctl after accept, answers that were built before, one read and one write a call.
 *
 *   mock.c     options, processes        conn.c      sockets, TLS, reading and writing
 *   http.c     request heads and bodies  paths.c     which endpoint
 *   ask.c      what a body asks for      gemini_ask.c, multipart.c   Gemini's, a form
 *   check.c, chat_check.c, …             what the real services refuse
 *   fault.c    the table of faults       answer.c    which answer a request gets
 *   whole.c    heads, whole answers      wrong.c     faults in an answer's place
 *   kept.c     answers kept              gzip.c      compressed bodies
 *   stream.c   events framed and paced   said.c      what an answer says
 *   text.c     words, usage              error.c     errors
 *   body.c     chat's whole answers      events.c    chat's events
 *   messages.c, responses.c, gemini.c    both of these protocols
 *   media.c    pictures, sound, ranking  files.c     files and batches
 *   websocket.c  the socket of realtime  control.c   /sim/...
 *   calls.c    the record of calls       wheel.c     timers
 *   tls.c      certificates and tickets
 *
 * It checks the requests it gets strictly, since what arrives here is what a gateway let through.
 */
#ifndef MOCK_SIM_H
#define MOCK_SIM_H

#include "base/base.h"
#include "base/buf.h"
#include "base/js.h"
#include "base/list.h"
#include "mock/fault.h"

/* ---- requests (http.c) ---- */

enum endpoint {
    EP_NONE = 0, /* unknown path: 404 */
    EP_CHAT,
    EP_COMPLETIONS,
    EP_EMBEDDINGS,
    EP_RESPONSES,
    EP_MESSAGES,
    EP_COUNT_TOKENS,
    EP_MODELS,
    EP_GENERATE, /* Gemini's generateContent and streamGenerateContent */
    EP_GEMINI_COUNT,
    EP_GEMINI_EMBED,
    EP_GEMINI_EMBEDS,
    EP_GEMINI_MODELS,
    EP_IMAGES,
    EP_IMAGE_EDITS,
    EP_SPEECH,
    EP_TRANSCRIPTIONS,
    EP_TRANSLATIONS,
    EP_MODERATIONS,
    EP_RERANK,
    EP_FILES,
    EP_BATCHES,
    EP_REALTIME,
    EP_CONTROL, /* /sim/... */
    EP_COUNT
};
extern const char *const endpoint_path[EP_COUNT];

#define REQUEST_BODY_MAX ((size_t)128 << 20)

/* Views into the bytes given to request_read(). */
struct request {
    enum endpoint endpoint;
    bool wrong_method;
    bool is_get, is_delete; /* else POST */
    bool websocket;         /* wants to be one */
    bool keep_alive;
    bool http_1_0;
    bool expects_100;
    bool chunked;
    bool gemini, streams, sse; /* a path of Gemini's; one that streams; and as events */
    struct str head; /* with its empty line */
    struct str path; /* without the query */
    struct str query;
    struct str model; /* in a path of Gemini's, as it came */
    struct str id, action; /* of a file or batch: /v1/files/ID/ACTION */
    struct str content_type, websocket_key;
    struct str body; /* without chunk framing */
    struct str authorization, x_api_key, x_goog_api_key, x_request_id, anthropic_version;
    uint64_t content_length;
    bool has_length;
};

enum read_result {
    READ_MORE = 0,  /* not complete yet */
    READ_DONE,      /* *consumed bytes were the request */
    READ_MALFORMED, /* not HTTP as it should be: *why says what */
};
/*
 * Reads one request from bytes. A chunked body is joined in place, once all of it is there.
 * *progress is 0 for a new request and kept by the caller while READ_MORE: the number of bytes that
 * cannot make a difference any more (so that a body in many pieces is not scanned again and again).
 */
enum read_result request_read(struct request *req, char *bytes, size_t len, size_t *progress,
                              size_t *consumed, const char **why);
void endpoint_find(struct request *req); /* paths.c */
enum paths { PATHS_ALL = 0, PATHS_OPENAI, PATHS_ANTHROPIC, PATHS_GEMINI, PATHS_COUNT };
/* From now on paths of other protocols are unknown. */
void paths_only(enum paths paths);
/* The value of one parameter in a query, as it came. */
struct str query_get(struct str query, struct str name);

/* ---- what a body asks for (ask.c) ---- */

struct ask {
    struct str model;
    bool stream;
    bool include_usage;
    bool tool_call;
    bool tool_custom; /* its input is free text */
    bool json;        /* the answer is to be JSON */
    bool encrypted;   /* reasoning is to come in a form that can be sent back */
    bool logprobs;
    uint32_t top_logprobs;
    uint32_t characters; /* of speech's input */
    struct str format;   /* response_format, when it is a word */
    struct js_value documents;
    uint32_t top_n;
    struct js_value stops; /* a string, or an array of them */
    bool base64;
    uint32_t choices;
    uint32_t inputs; /* embeddings: how many texts */
    uint32_t dimensions;
    int64_t output_cap; /* tokens; -1: none given */
    uint64_t input_tokens;
    struct str tool_name;
    struct faults faults;
};

struct refusal {
    int status;
    const char *param; /* or NULL */
    const char *code;  /* or NULL: the one that belongs to the status */
    char message[200];
};

/* Does a fault name the tool to call? Such a one is called as long as no result has come back. */
bool tool_fault(const struct ask *ask, struct js_value *name);
/* Holds a request the result of a tool? */
bool tool_answered(struct js_value body);
/* Fills *no; gives false, so that a caller can return it. */
bool refuse(struct refusal *no, int status, const char *param, const char *fmt, ...)
    PRINTF_LIKE(4, 5);
/* Default faults, those of the model's name, those of the body's member "sim". */
bool MUST_CHECK faults_gather(struct ask *ask, struct js_value sim, struct refusal *no);
/* Is it a model that the upstream has? */
bool MUST_CHECK model_known(const struct ask *ask, struct refusal *no);
/* Bytes of the value as JSON: a string's quotes count. */
uint64_t json_bytes(struct js_value value);
struct js_value last_element(struct js_value array);
/* What the real service would not take (check.c, and one file for each protocol). */
bool MUST_CHECK strict_check(const struct ask *ask, enum endpoint ep, struct js_value body,
                             struct refusal *no);
/* What a body of Gemini's asks for (gemini_ask.c). */
bool MUST_CHECK gemini_ask(struct ask *ask, const struct request *req, struct js_value body,
                           struct refusal *no);
/* A text that the real service would not take (gemini_check.c): names, parts, calls. */
bool MUST_CHECK gemini_check(const struct ask *ask, enum endpoint ep, struct js_value body,
                             struct refusal *no);
/* The member called camel, or with underscores; type JS_NONE when absent or null. */
struct js_value gemini_get(struct js_value object, const char *camel);
bool gemini_named(struct str given, const char *camel);

/* False: refuse with *no. Faults by default are laid under those of the request. */
bool MUST_CHECK ask_read(struct ask *ask, const struct request *req, struct refusal *no);

/* ---- calls (calls.c) ---- */

#define REQUEST_ID_MAX 39
#define MODEL_MAX 255
#define RECORD_MODEL_MAX 71

/* What was really used, in classes that share no token. */
struct used {
    uint64_t input, cache_read, cache_write_5m, cache_write_1h;
    uint64_t output; /* reasoning included */
    uint64_t reasoning;
    uint32_t images, seconds, characters, searches; /* no tokens; of endpoints that sell these */
};

struct record {
    uint64_t seq;
    int64_t begin_us, end_us; /* wall clock */
    struct used used;
    uint32_t conn_id;
    uint16_t status;
    uint8_t endpoint;
    uint8_t key; /* number of the --key that came, from 1 */
    bool stream, completed, client_closed;
    /* What the connection's handshake agreed on, in the library's own words; NULL: no TLS. */
    const char *tls_version, *tls_suite;
    char request_id[REQUEST_ID_MAX + 1];
    char model[RECORD_MODEL_MAX + 1];
};

struct stats {
    uint64_t open_connections, open_connections_max, connections;
    uint64_t open_calls, open_calls_max, requests, completed, aborted, malformed, refused;
    uint64_t tls_handshakes, tls_resumed, tls_failed;
};
extern struct stats stats;

void calls_init(void);
void calls_add(const struct record *record);
void calls_reset(void);
/* JSON lines of all records that came after `after` (counted from 1 as they were added). */
void calls_print(struct buf *out, uint64_t after);
void last_keep(const struct request *req);
struct str last_head(void);
struct str last_body(void);

/* ---- timers (wheel.c) ---- */

struct timer {
    struct list node;
    uint64_t due_ms;
};

void wheel_init(uint64_t now_ms);
void timer_init(struct timer *t);
void timer_set(struct timer *t, uint64_t due_ms); /* also when set already */
void timer_stop(struct timer *t);
bool timer_is_set(const struct timer *t);
/* The next timer that is due, taken off the wheel, or NULL. */
struct timer *wheel_take(uint64_t now_ms);
/* Milliseconds until something is due, -1 when nothing is. */
int wheel_wait_ms(uint64_t now_ms);

extern uint64_t loop_now_ms; /* read once a turn */
extern uint64_t loop_now_us;

/* ---- connections (conn.c, tls.c) ---- */

struct call;
struct tls;

struct conn {
    int fd;
    uint32_t id;
    bool readable;    /* something may still be in the kernel */
    bool failed;      /* a write failed: the client is gone */
    bool hung_up;     /* so it is, but what it had sent before is still to be read */
    bool close_asked; /* close when all is written */
    bool reset_asked; /* … by RST */
    bool idle_close;  /* close-after: close when the timer fires and no call is going on */
    bool dead;        /* on the graveyard; freed at the end of the turn */
    uint32_t drip;    /* write at most so many bytes at once; 0: all */
    char *out;        /* what the socket did not take yet, or NULL */
    size_t out_off, out_len;
    struct buf in; /* an unfinished or waiting request */
    size_t in_progress;
    struct call *call; /* being answered, or NULL */
    struct tls *tls;   /* or NULL */
    struct timer timer;
    struct list node; /* ready list, or graveyard */
};

void conn_listen(int listen_fd, struct tls *config);
_Noreturn void conn_loop(void);
/* Writes now what the socket takes and keeps a copy of the rest. */
void conn_send(struct conn *c, const void *bytes, size_t len);
static inline bool
conn_blocked(const struct conn *c)
{
    return c->out != NULL || c->failed;
}
/* Puts c on the list of those to go on with in the next turn. */
void conn_ready(struct conn *c);
/* Closes when everything is written. */
void conn_close_soon(struct conn *c, bool reset);

struct tls *tls_config_new(const char *cert_file, const char *key_file);
struct tls *tls_conn_new(struct tls *config, int fd);
void tls_conn_free(struct tls *tls);
/* NULL without TLS (tls is NULL then), and before the handshake is done. */
const char *tls_version(const struct tls *tls);
const char *tls_suite(const struct tls *tls);
/* As read(2) and write(2), but -errno; -EAGAIN while the handshake goes on. */
long tls_read(struct tls *tls, void *bytes, size_t cap);
long tls_write(struct tls *tls, const void *bytes, size_t len);

/* ---- answers (answer.c, body.c, stream.c, control.c) ---- */

enum framing { FRAME_LENGTH = 0, FRAME_CHUNKED, FRAME_UNTIL_CLOSE };

enum stage {
    STAGE_DELAY = 0, /* waits to begin */
    STAGE_STREAM,
    STAGE_ENDLESS,
    STAGE_STALLED,
    STAGE_DONE, /* all handed to the connection */
};

/* One call being answered. Small: tens of thousands are open at once. */
struct call {
    uint64_t seq;
    uint8_t key; /* as in its record */
    int64_t begin_us;
    struct faults faults;
    uint64_t input_tokens; /* of the request; in `used` once the answer begins */
    struct used used;      /* output: so far */
    char *model;           /* its own copy, as content of a JSON string */
    char *tool_name;       /* likewise, or NULL */
    char *echo;            /* echo-auth: the credentials that came, or NULL */
    struct buf carry;      /* split-utf8: held back for the next piece */
    uint64_t due_us;       /* streams with a gap: when the next piece is due */
    uint64_t endless_sent;
    uint32_t crc, crc_len; /* gzip over a stream */
    uint16_t status;
    uint8_t endpoint; /* enum endpoint */
    uint8_t stage;    /* enum stage */
    uint8_t framing;  /* enum framing */
    uint8_t phase;    /* enum phase */
    bool stream, include_usage, keep_alive, http_1_0, base64;
    bool gemini; /* a path of Gemini's, known or not */
    bool array;  /* a stream that is one JSON array, not events */
    bool raw;    /* a stream of plain bytes: speech */
    bool media;  /* one of media.c's */
    bool text_only, verbose; /* transcriptions: the text alone; more than it */
    uint32_t characters;     /* of speech's input */
    struct websocket *websocket; /* or NULL */
    struct said *said; /* a text of its own, or NULL: words */
    char *stop;        /* the stop sequence that cut it, as content of a JSON string, or NULL */
    bool tool_custom, encrypted, logprobs;
    uint32_t top_logprobs;
    bool cap_reached; /* the caller's cap cut the answer short */
    bool fancy;       /* some fault changes how events look */
    bool incomplete;  /* ended without being whole: cut, garbage, error in between */
    uint32_t choices;
    uint32_t inputs, dimensions;      /* embeddings */
    uint32_t reasoning, words, tools; /* what the answer will hold, each choice */
    uint32_t at;                      /* place within the phase */
    uint32_t events;                  /* sent so far */
    uint32_t output_index;            /* responses, messages: the item or block */
    char request_id[REQUEST_ID_MAX + 1];
};

void answer_init(struct str *keys, size_t key_count);
/* A complete request has arrived. Afterwards c->call is set while the answer goes on. */
void answer_request(struct conn *c, const struct request *req);
void answer_malformed(struct conn *c, const char *why);
/* Goes on with c->call: its timer fired, or the socket takes bytes again. */
void answer_continue(struct conn *c);
/* Records the call and leaves c->call NULL. */
void call_end(struct conn *c, bool client_closed);
/* Everything is handed to the connection: ends the call, at once or when it is written. */
void call_sent(struct conn *c);
uint64_t call_number_next(void);
/* The number from 1 of the accepted key that came; 0: none did. */
unsigned key_number(const struct request *req);
char *copy_of(struct str s); /* malloc()ed, with a NUL behind it */
void hex16(char *out, uint64_t n);

/* Answers as they went out before (kept.c): the request whose answer may be kept, while it is being
 * answered, or NULL; its answer; from what was kept, false when there is none for these bytes. */
void kept_candidate(const struct request *req);
void kept_keep(const struct call *call, struct str answer);
bool kept_answer(struct conn *c, const struct request *req);

/* Faults in the answer's place (wrong.c): true when one took it. */
void wrong_init(void);
bool fault_answer(struct conn *c);
void endless_body(struct conn *c); /* a whole JSON answer whose string never ends */

void whole_init(void);
/* Appends the head up to and with the empty line; length is for FRAME_LENGTH. */
void
head_write(struct buf *out, const struct call *call, int status, const char *type, uint64_t length);
/* Sends a whole body as the call's framing and faults want it. */
void whole_send(struct conn *c, int status, const char *type, struct str body);
void error_send(struct conn *c, int status, struct str message, const char *param,
                const char *code);
void chunk_write(struct buf *out, struct str bytes);

/* The JSON of the call's answer; counts its output as used. */
void body_write(struct call *call, struct buf *out);
void models_write(struct buf *out, bool anthropic, struct str id);
/* The model that the answer names. */
extern const char *const model_names[]; /* of those listed; NULL at the end */
const char *model_named(const struct call *call);
const char *stop_reason(const struct call *call); /* in the words of the call's protocol */
uint32_t reasoning_shown(const struct call *call);
/* The answer's text, as content of a JSON string: all of it, and token i. */
void answer_text(const struct call *call, struct buf *out);
struct said;
/* Decides on a text of the call's own, if there is to be one instead of so many words. */
void said_plan(struct call *call, const struct ask *ask, uint32_t words, uint32_t tools);
uint32_t said_count(const struct said *said); /* tokens */
void said_free(struct said *said);
/* An array of the logarithms of how likely tokens from … to - 1 were; empty if not asked for. */
void logprobs_write(const struct call *call, struct buf *out, uint32_t from, uint32_t to);
/* The members of Gemini's candidate; nothing if not asked for. */
void logprobs_write_gemini(const struct call *call, struct buf *out, uint32_t from, uint32_t to);
/* What a text, as content of a JSON string, is known again by; that of the call's reasoning. */
uint64_t text_mark(struct str content);
uint64_t reasoning_mark(const struct call *call);
void answer_read(const struct call *call, struct buf *out); /* all of it as it is read */
void answer_piece(const struct call *call, struct buf *out, uint32_t i);

/* The next event of the call's answer into event and event_name; false at the end of it. */
extern struct buf event;       /* its JSON, or [DONE] */
extern const char *event_name; /* or NULL */
bool event_next(struct call *call);
void event_error(struct call *call); /* the protocol's error event */
/* What whole answers of chat and its events have in common (body.c). */
void chat_call_open(const struct call *call, struct buf *out, uint32_t choice, uint32_t tool);
void chat_logprobs_write(const struct call *call, struct buf *out, uint32_t from, uint32_t to);
const char *reasoning_field(const struct call *call);
/* The same, and whole answers, one protocol each. */
bool messages_next(struct call *call);
void messages_write(const struct call *call, struct buf *out);
bool responses_next(struct call *call);
void responses_error(const struct call *call);
void responses_write(const struct call *call, struct buf *out);
bool gemini_next(struct call *call);
bool speech_next(struct call *call);
bool transcript_next(struct call *call);
/* The whole answer of one of media.c's endpoints. */
void media_write(struct call *call, struct buf *out);
void media_plan(struct call *call, const struct ask *ask);
bool is_media(enum endpoint ep);
/* Files and batches: no calls of a model's. */
void files_answer(struct conn *c, const struct request *req);
void files_forget(void);
/* {"hold":true}: batches stay under way; false: those that are get done. False: it is no such order. */
bool files_batches(struct str order);
void gemini_write(struct call *call, struct buf *out);
void gemini_models_write(struct buf *out, struct str id);
void embedding_floats_write(struct buf *out, uint32_t input, uint32_t dimensions);

/* Phases of all protocols, in their order; each protocol skips what it has not. */
enum phase {
    PHASE_START = 0, /* chat: roles; messages: message_start; responses: created, in_progress */
    PHASE_REASONING_OPEN,
    PHASE_REASONING,
    PHASE_REASONING_CLOSE,
    PHASE_TEXT_OPEN,
    PHASE_TEXT,
    PHASE_TEXT_CLOSE,
    PHASE_TOOLS,  /* opened and closed one by one */
    PHASE_FINISH, /* chat: finish reasons; messages: message_delta */
    PHASE_USAGE,  /* chat only */
    PHASE_MARK,   /* [DONE], message_stop, response.completed */
    PHASE_REDACTED, /* messages only, after the reasoning */
    PHASE_END,
};

static inline void
phase_go(struct call *call, enum phase phase)
{
    call->phase = (uint8_t)phase;
    call->at = 0;
}

void stream_begin(struct conn *c); /* the head and everything after it */
void stream_continue(struct conn *c);
void endless_continue(struct conn *c);

/* What a form's fields ask for (multipart.c). */
bool MUST_CHECK form_ask(struct ask *ask, const struct request *req, struct refusal *no);
/* The next part behind *rest, a form's bytes; false: there is none, and *rest is empty if it was
 * well-formed to its end. */
struct form_part {
    struct str name, filename, content;
};
bool form_begin(const struct request *req, struct str *boundary, struct str *rest);
bool form_next(struct str boundary, struct str *rest, struct form_part *part);

/* A call that goes on as a WebSocket (websocket.c). */
void websocket_begin(struct conn *c, const struct request *req);
/* Takes frames from what came; how many bytes that used up. */
size_t websocket_take(struct conn *c, char *bytes, size_t len);
void websocket_free(struct websocket *ws);

void control_request(struct conn *c, const struct request *req);

/* Gzip with stored blocks: valid and no smaller. */
void gzip_begin(struct buf *out);
void gzip_block(struct call *call, struct buf *out, struct str bytes);
void gzip_end(const struct call *call, struct buf *out);

/* ---- text (text.c) ---- */

#define WORD_DEFAULT 16
#define TOOL_PIECES 6 /* tokens of one tool call: its name and 5 pieces of arguments */
/* JSON string content, escaped: word i of the endless text, with the blank before it. */
void text_word(struct buf *out, uint32_t i, uint32_t pad);
void text_words(struct buf *out, uint32_t count, uint32_t pad, uint32_t huge_first);
/* The arguments of call number `tool`, which differ, as content of a JSON string: piece 0 …
 * TOOL_PIECES - 2, and all. */
void tool_piece(struct buf *out, const struct call *call, uint32_t tool, uint32_t i);
void tool_arguments(struct buf *out, const struct call *call, uint32_t tool);
/* The same as JSON. */
void tool_arguments_object(struct buf *out, const struct call *call, uint32_t tool);
/* "usage":{…} of the call in its protocol's shape, with a comma before; nothing for no-usage. */
void usage_write(struct buf *out, const struct call *call);
/* The error body of the call's protocol. */
void error_write(struct buf *out, const struct call *call, int status, struct str message,
                 const char *param, const char *code);
const char *status_text(int status);
bool is_anthropic(enum endpoint ep);
bool is_gemini(enum endpoint ep);
extern int64_t started_s; /* "created" of every answer */

#endif
