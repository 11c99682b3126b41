/*
 * What the gateway must know of a request's body, and the few bytes it changes in it.
 *
 * One scan over the top-level members: no tree, and values that nobody here uses are only
 * jumped over. The whole body is checked to be one JSON object. Types are checked for the
 * members that the gateway uses and for no others. A member that matters may stand only
 * once: an upstream might read the other one.
 *
 * Counts are decimal integers of at most 10 digits: a sign, fraction, exponent, string or
 * a value out of range is refused. null means absent, as the makers' own services take it.
 */
#ifndef PROTO_ASK_H
#define PROTO_ASK_H

#include "base/arena.h"
#include "base/base.h"
#include "proto/batch.h"
#include "proto/error.h"
#include "proto/proto.h"

#define ASK_MODEL_LEN_MAX 256
#define ASK_FILES_MODEL "files" /* the model that calls for files stand for */
#define ASK_CHOICES_MAX 128
#define ASK_PROMPTS_MAX 2048
#define ASK_PIECES_MAX 7
#define ASK_BYTES_PER_TOKEN 4u /* of text, about */
/* Of sound whose head does not say it: speech is seldom kept in more than the first, which is what
 * it is taken for, and never in less than the second. */
#define ASK_SOUND_BYTES_PER_S 4000u
#define ASK_SOUND_BYTES_PER_S_MIN 1000u

/* A range of bytes in the body, which is less than 4 GiB. */
struct ask_range {
    uint32_t off, len;
};

/* Where stream_options.include_usage stands, and so where to put it. */
enum ask_usage_place {
    ASK_USAGE_KEEP = 0,   /* already true, or not a stream of this kind */
    ASK_USAGE_NO_OPTIONS, /* insert the member stream_options after the first brace */
    ASK_USAGE_NULL,       /* range: the value null of stream_options */
    ASK_USAGE_NO_MEMBER,  /* range: empty, after the brace of stream_options */
    ASK_USAGE_EMPTY,      /* as NO_MEMBER, and the object has no members */
    ASK_USAGE_FALSE,      /* range: the value false or null of include_usage */
};

/* What a request asks for that may be paid by other units than tokens. */
struct ask_media {
    uint32_t characters;  /* of the text to be spoken, by code points */
    uint32_t documents;   /* to be ranked */
    uint32_t file_count;  /* pictures or sound in a form */
    size_t file_bytes;
    /* What a second of the sound has in bytes, as its own head says (WAV); 0: it does not. */
    uint32_t sound_bytes_per_s;
    bool bytes; /* the answer is asked for as bytes: speech; what was heard, as text */
};

/* What a call for files or batches names. */
struct ask_file {
    /* In the path; for a batch to be made the file it is made of; for a list the one that it begins
     * behind. "" where there is none. */
    struct str id;
    struct str purpose; /* of an upload, as it stands in the form */
    size_t bytes;       /* likewise, of the file */
    /* Of an upload with that purpose: what can be batched of it, or count 0. Of a batch to be made:
     * the endpoint alone. */
    struct batch_lines lines;
};

struct ask {
    struct str body;
    struct str model;             /* as text; in the body, or in the arena if it had escapes */
    struct str action;            /* Gemini: "generateContent", …; static text */
    struct ask_range model_range; /* of the value, with its quotes */
    struct ask_range usage_range;
    struct ask_media media;       /* where proto_is_media() */
    struct ask_file *file;        /* of a call for files or batches, else NULL; in the arena */
    enum proto_endpoint endpoint;
    enum ask_usage_place usage_place;
    /* Tokens of one choice. Where a body has both max_tokens and max_completion_tokens it is the
     * larger, since either may be the one that the upstream reads. */
    uint32_t output_cap;
    /* Outputs generated: the larger of n and best_of, times the prompts. At least 1. */
    uint32_t choice_count;
    bool stream;
    /* The client wants the usage chunk itself (chat, completions); else it is hidden. */
    bool usage_asked;
    bool has_output_cap;
    /* Responses: names input that is stored upstream, so that the body's size bounds nothing. */
    bool stored_input;
    bool form;        /* the body is one (multipart/form-data); model_range has no quotes then */
    bool model_added; /* moderation: the caller named none; model_range is where it goes */
    bool json_array;  /* Gemini: streams a list, not events */
};
_Static_assert(sizeof(struct ask) <= 128, "each stream has one");

/*
 * Reads the body of a call. False with *error (ready for error_write_body()) when it is not
 * what the endpoint takes. Views in *out live as long as body and arena.
 */
bool MUST_CHECK ask_read(enum proto_endpoint endpoint, struct str body, struct arena *arena,
                         struct ask *out, struct proto_error *error);

/*
 * The same for Gemini's endpoints, whose model and action stand in the path (proto_what), and whose
 * alt=sse in the query: what.id is the model, still percent-encoded.
 */
bool MUST_CHECK ask_read_gemini(const struct proto_what *what, struct str query, struct str body,
                                struct arena *arena, struct ask *out, struct proto_error *error);

/*
 * The same for the endpoints that take forms: pictures to be edited, sound to be written down. The
 * content type names the boundary.
 */
bool MUST_CHECK ask_read_form(enum proto_endpoint endpoint, struct str content_type,
                              struct str body, struct ask *out, struct proto_error *error);

/*
 * The same of a call for files or batches, which stands for a model of that name. The form of an
 * upload is read, and its lines when it is to be batched; a body that makes a batch likewise.
 */
struct ask_file_parts {
    struct str content_type, body, query;
};
bool MUST_CHECK ask_read_file(const struct proto_what *what, const struct ask_file_parts *parts,
                              struct arena *arena, struct ask *out, struct proto_error *error);

/* What a request needs of the model that serves it. */
enum ask_need {
    ASK_NEED_TOOLS = 0,
    ASK_NEED_VISION,   /* images in its messages */
    ASK_NEED_THINKING, /* asked for by name */
    ASK_NEED_JSON,     /* its answer shall be JSON */
    ASK_NEED_AUDIO,    /* sound in its messages, or in its answer */
    ASK_NEED_EMBEDDINGS,
    ASK_NEED_COUNT
};

struct ask_needs {
    unsigned needs;     /* 1u << enum ask_need */
    size_t media_bytes; /* of the body that are images and sound: no text */
    size_t media_count;
    /* Of input, by the size of its text and the number of its images and sounds; about. */
    uint64_t input_tokens;
    uint64_t output_tokens; /* the caller's cap; 0 none */
};

/*
 * A second look at a body that ask_read() has taken: over the messages and their parts, and no deeper
 * than an image in a tool's result can be. For those who choose a model for the caller; what is
 * written in a way that the endpoint does not know needs nothing.
 */
void ask_needs(const struct ask *ask, struct ask_needs *out);

/* What a request points to beyond its own bytes, so that these do not bound what a model reads. */
enum ask_open {
    ASK_OPEN_LINKS = 1u << 0, /* images, files or input that lie elsewhere */
    ASK_OPEN_TOOLS = 1u << 1, /* tools that the provider runs, whose results the model reads */
};
/* Bits of enum ask_open; looks at the body as ask_needs() does. */
unsigned ask_open(const struct ask *ask);

/* Of such a request: tokens of input, about, a picture or sound for 1,000; of files none. */
uint64_t ask_media_tokens(const struct ask *ask);

/* The upstream's body: pieces of the client's and of what was changed, to be written in order. */
struct ask_pieces {
    struct str list[ASK_PIECES_MAX];
    size_t count;
    size_t total_len;
};

/*
 * The body with the model's name replaced (unless it is that name already) and usage asked
 * for. All else stays byte for byte. The new name is escaped into the arena; *out points
 * there and into the body. False when the arena is full.
 */
bool MUST_CHECK ask_splices(const struct ask *ask, struct str upstream_model, struct arena *arena,
                            struct ask_pieces *out);

#endif
