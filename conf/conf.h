/*
 * conf: routes.conf, read into one immutable snapshot.
 *
 * The room knows every key of the file (conf/table.h: one row a key, which the parser, the
 * "did you mean" hints and the manual page share), parses with libconfuse's grammar, checks all
 * values and references, loads the secrets that the file points at, and finds every fault in one
 * run. The result never changes: a reload makes a new snapshot, and a process that still works
 * by the old one keeps it. It opens files only while loading, knows no sockets and no clock, and
 * does not decide anything about a call: that is route/.
 *
 * All strings are NUL-terminated behind their length, so that .ptr may go to printf or to a
 * library. Indexes into the arrays are stable for the life of the snapshot.
 */
#ifndef CONF_CONF_H
#define CONF_CONF_H

#include "base/base.h"
#include "base/buf.h"
#include "base/cidr.h"
#include "base/zone.h"

#define CONF_UPSTREAM_COUNT_MAX 1024
#define CONF_CREDENTIAL_COUNT_MAX 64         /* of one upstream */
#define CONF_CREDENTIAL_TOTAL_COUNT_MAX 1024 /* of all */
#define CONF_MODEL_COUNT_MAX 4096
#define CONF_CHANNEL_COUNT_MAX 256
#define CONF_AUTO_COUNT_MAX 64
#define CONF_RULE_COUNT_MAX 256
#define CONF_NAME_LEN_MAX 64       /* of upstreams, channels, families */
#define CONF_MODEL_NAME_LEN_MAX 92 /* of models, their aliases, autos */
#define CONF_TIER_COUNT_MAX 8
#define CONF_SERVICE_COUNT_MAX 8
#define CONF_SERVICE_NAME_LEN_MAX 31
#define CONF_DISCOUNT_COUNT_MAX 8
#define CONF_NONE (-1)

/* Micro-units: millionths of one USD or CNY, of a multiplier, of a weight. */
#define CONF_MICRO 1000000
/* Bounds that keep every product of tokens, price and multiplier within 128 bits. */
#define CONF_PRICE_MAX_U_PER_MTOK (INT64_C(1000000) * CONF_MICRO)
#define CONF_PRICE_MAX_U_PER_MUNIT (INT64_C(1000) * CONF_MICRO * CONF_MICRO)
#define CONF_PRICE_ABSENT (-1)
#define CONF_FACTOR_MAX_U (1000 * CONF_MICRO)
/* Of each class in one call. What a file prices is payable up to this. */
#define CONF_COUNT_MAX UINT32_C(1000000000)
#define CONF_COST_MAX_U (INT64_C(1000) * CONF_MICRO)
#define CONF_MULTIPLIER_MAX_U (INT64_C(1000000) * CONF_MICRO)

enum conf_protocol {
    CONF_OPENAI = 0,
    CONF_RESPONSES,
    CONF_ANTHROPIC,
    CONF_GEMINI,
    CONF_PROTOCOL_COUNT
};
extern const char *const conf_protocol_name[CONF_PROTOCOL_COUNT];
#define CONF_PROTOCOL_BIT(p) (1u << (p))

enum conf_currency { CONF_USD = 0, CONF_CNY, CONF_CURRENCY_COUNT };
extern const char *const conf_currency_name[CONF_CURRENCY_COUNT];

/* How a model is asked to think, when a call is translated. */
enum conf_thinking {
    CONF_THINKING_BUDGET = 0, /* in tokens */
    CONF_THINKING_EFFORT,     /* in words */
    CONF_THINKING_COUNT
};
extern const char *const conf_thinking_name[CONF_THINKING_COUNT]; /* "budget", "effort" */

enum conf_can {
    CONF_CAN_TOOLS = 0,
    CONF_CAN_VISION,
    CONF_CAN_THINKING,
    CONF_CAN_JSON,
    CONF_CAN_AUDIO,
    CONF_CAN_EMBEDDINGS,
    CONF_CAN_COUNT
};
extern const char *const conf_can_name[CONF_CAN_COUNT];

/*
 * What is counted and priced: classes that do not overlap. Reasoning, audio and images are not
 * within output, nor audio and images within input. Tokens first, those that went in before those
 * that came out.
 */
enum conf_class {
    CONF_INPUT = 0,
    CONF_CACHE_READ,
    CONF_CACHE_WRITE_5M,
    CONF_CACHE_WRITE_1H,
    CONF_AUDIO_INPUT,
    CONF_IMAGE_INPUT,
    CONF_OUTPUT,
    CONF_REASONING,
    CONF_AUDIO_OUTPUT,
    CONF_IMAGE_OUTPUT,
    CONF_IMAGES,     /* pictures made */
    CONF_SECONDS,    /* of sound */
    CONF_CHARACTERS, /* of text */
    CONF_REQUESTS,   /* answers */
    CONF_SEARCHES,   /* of the web */
    CONF_CLASS_COUNT
};
#define CONF_INPUT_CLASS_COUNT CONF_OUTPUT /* these are the context */
#define CONF_TOKEN_CLASS_COUNT CONF_IMAGES
extern const char *const conf_class_name[CONF_CLASS_COUNT]; /* "cache-write" is the 5 minutes' */

struct conf_strs {
    const struct str *at;
    size_t count;
};

struct conf_rename {
    struct str model;      /* the model's own name, aliases already resolved */
    struct str model_sent; /* what this upstream calls it */
};

/*
 * One of the keys that an upstream knows us by, with the limits that the provider keeps for it. An
 * upstream without credential sections has one, of its own keys of routes.conf.
 */
struct conf_credential {
    struct str name; /* STR_NONE: the upstream's own */
    /*
     * What goes into the auth header. STR_NONE when the file names no source for it: then no
     * auth header is sent. Never log it, never put it into an error text.
     */
    struct str secret;
    /* Why no call may go here (its secret is named but cannot be read), or NULL. Holds no secret. */
    const char *disabled_reason;
    uint32_t rpm;         /* calls a minute, 0: no limit */
    uint32_t tpm;         /* tokens a minute, all kinds; likewise */
    uint32_t concurrency; /* calls at a time; likewise */
    uint32_t weight;      /* among those of its upstream; 0: only when the others are down */
};

struct conf_upstream {
    struct str name;
    unsigned protocols; /* CONF_PROTOCOL_BIT()s, at least one */
    struct str url;     /* as written, for messages */
    bool tls;
    struct str host;      /* lower case; an IPv6 address without its brackets */
    uint16_t port;        /* as written, else 443 or 80 */
    struct str base_path; /* "" or "/v1": starts with a slash, never ends in one */
    struct str authority; /* the Host header: host, with :port unless it is the scheme's own */
    bool local;           /* may be dialled at loopback and private addresses */
    const struct conf_credential *credentials;
    size_t credential_count; /* at least 1 */
    size_t credential_first; /* the first one's number over all upstreams */
    /*
     * Why no call may go here (no secret of its credentials can be read), or NULL. Holds no
     * secret. Such an upstream stands in the arrays like any other; route/ leaves it out.
     */
    const char *disabled_reason;
    struct conf_strs models; /* globs over the models' own names; {"*"} when absent */
    const struct conf_rename *renames;
    size_t rename_count;
    /* What a translated call has to know of it: see the table's words. */
    bool translate, completions, max_tokens_old, takes_reasoning, system_later;
    uint32_t connect_ms;
    uint32_t first_byte_ms;
    uint32_t idle_ms;
    uint32_t connections_max; /* over all workers */
    uint32_t probe_ms;        /* between active probes, 0: none */
    struct str probe_model;   /* as the upstream calls it; "": the list of models is asked for */
    bool check_model;         /* an answer by another model than the one asked for is a failure */
    int64_t cost_u;           /* what the operator pays there, in millionths of the list price */
    struct str ca_file;       /* STR_NONE: the system's */
};

/*
 * List prices in micro-units of the model's currency per million tokens, or per million of whatever
 * the class counts. In a model and its tiers a price that the file leaves out is already filled in:
 * in a tier it is the model's own; where that states none either, what is a kind of input or output
 * costs as that, cache-write-1h as cache-write, and what is not tokens nothing.
 */
struct conf_rates {
    int64_t u_per_mtok[CONF_CLASS_COUNT];
};
#define CONF_CLASS_BIT(class) (1u << (class))
/* What such a class costs as when nobody states a price for it; itself when it is of no kind. */
enum conf_class conf_kind_of(enum conf_class class);

/* The whole call is priced at these rates when its context (all input classes) is larger. */
struct conf_tier {
    struct str title;
    uint64_t above_tokens;
    bool inclusive; /* also when the context is exactly above_tokens */
    uint32_t stated; /* CONF_CLASS_BIT()s */
    struct conf_rates rates;
};

/* What other prices stand for some calls. */
struct conf_change {
    struct conf_rates rates; /* CONF_PRICE_ABSENT where it states none */
    /* Millionths; what prices of tokens are multiplied by where it states none of its own. */
    uint64_t factor_u;
};

/* A service tier of the provider's, by the name that its answers report. */
struct conf_service {
    struct str name;
    struct conf_change change;
};

/* Some hours of the day. */
struct conf_discount {
    struct str title;
    struct zone_hours hours; /* never the whole day */
    struct str zone_name;
    struct zone zone; /* without changes in tables read from the store: not for choosing by */
    struct conf_change change;
};

/*
 * The rates of a tier, service and discount taken together, as whole numbers: a count costs
 * count * rate / den, in micro-units per million. den divides 10^12.
 */
struct conf_terms {
    int64_t rate[CONF_CLASS_COUNT];
    int64_t input_max, output_max; /* the dearest of the classes in and out */
    uint64_t den;
};

struct conf_model {
    struct str name;
    struct str family; /* the model's own name when not stated */
    enum conf_currency currency;
    uint32_t stated; /* CONF_CLASS_BIT()s */
    struct conf_rates rates;
    /* Of one request in a batch, in micro-units per million; CONF_PRICE_ABSENT: it cannot be batched. */
    int64_t batched_u;
    const struct conf_tier *tiers; /* by the context they start at, lowest first */
    size_t tier_count;
    const struct conf_service *services;
    size_t service_count;
    const struct conf_discount *discounts; /* no two at a time */
    size_t discount_count;
    const struct conf_terms *terms; /* conf_terms_at() */
    uint64_t context_tokens;    /* 0: not stated */
    uint64_t output_tokens_max; /* 0: not stated */
    unsigned can;               /* 1u << enum conf_can */
    enum conf_thinking thinking;
    bool sampling;              /* takes temperature and its like */
    bool schemas;               /* takes a JSON schema for its answer */
    uint8_t quality;            /* 0..100 */
    struct conf_strs aliases;
    /* Where and when the list prices were read: an http(s) address and YYYY-MM-DD. STR_NONE: not
     * stated. For people; no part of the price version. */
    struct str source;
    struct str date;
    struct conf_terms batched_terms; /* of CONF_SERVICE_BATCHED */
};

struct conf_use {
    uint16_t upstream_idx;
    uint32_t weight; /* 1 unless stated; 0: only when all others are down */
};

struct conf_channel {
    struct str name;
    struct str title;  /* the name when not stated */
    struct str source; /* what kind of source, for people; STR_NONE: not stated */
    /* Credits per unit of list price, in millionths, by enum conf_currency. */
    int64_t multiplier_u[CONF_CURRENCY_COUNT];
    const struct conf_use *uses;
    size_t use_count;
    bool is_public; /* a key without a channel list may use it */
};

/* A model name that chooses for the caller. */
struct conf_auto {
    struct str name;
    struct conf_strs models; /* globs over the models' own names; what matches none is warned of */
    /* Weights in millionths. */
    int64_t latency_u;
    int64_t cost_u;
    int64_t quality_u;
};

/*
 * Where calls of some kind go. Ordered as in the file; the first whose conditions all hold decides.
 * A condition that is not stated holds. What a rule names is there, and it does at least one thing.
 */
struct conf_rule {
    struct str name;
    struct conf_strs models;   /* globs over what was asked for */
    struct conf_strs projects; /* globs */
    struct conf_strs keys;     /* globs over keys' names */
    unsigned needs;            /* 1u << enum conf_can: all of these */
    uint64_t context_above;    /* tokens; 0: not stated */
    uint64_t context_below;
    bool has_hours;
    struct zone_hours hours;
    struct zone zone;
    int exhausted_idx; /* a channel, or CONF_NONE */

    int to_model_idx; /* or CONF_NONE */
    int to_auto_idx;  /* likewise; not both */
    const uint16_t *to_channels;
    size_t to_channel_count;
    const uint16_t *fallbacks; /* models */
    size_t fallback_count;
};

struct conf_retention { /* of records of calls; 0: no bound */
    uint64_t records_ms; /* since they were charged */
    uint64_t size_bytes; /* in the store */
};

struct conf_limits {
    /* Requests of clients. */
    uint64_t body_bytes;
    uint32_t headers_bytes;
    uint32_t header_bytes;
    uint32_t header_lines;
    uint32_t request_line_bytes;
    uint32_t chunk_extra_bytes; /* chunk extensions and trailers of one message, in all */
    uint32_t blank_lines;       /* before a request line */
    uint32_t connections;       /* of clients, over all workers */
    uint32_t connections_per_address; /* likewise; 0: no bound */
    uint32_t calls;             /* under way, over all workers */
    uint64_t memory_bytes;      /* of bodies and buffers, a worker; never 0 once built */
    uint32_t requests_per_connection;
    uint32_t headers_ms;
    /* A body may take longer than body_ms while it averages body_bytes_per_s_min. */
    uint32_t body_ms;
    uint32_t body_bytes_per_s_min;
    uint32_t idle_ms;  /* between requests */
    uint32_t write_ms; /* for a client to take written data */
    /* Answers of upstreams. */
    uint32_t response_headers_bytes;
    uint32_t response_headers_1xx; /* interim answers before the real one */
    uint64_t response_body_bytes;  /* of an answer that is read whole (JSON) */
    uint32_t event_bytes;          /* one event of a stream */
    uint32_t message_bytes;        /* one message of a realtime session */
    uint32_t call_ms;              /* a call in all */
    uint32_t attempts;             /* upstreams that one call may try */
    uint32_t queue_count;          /* calls that wait for room in providers' limits, a worker */
    uint32_t queue_ms;             /* for so long at most */
    uint32_t commit_bytes;         /* of a stream's beginning that are held back */
    uint32_t commit_ms;            /* for so long */
    uint32_t affinity_ms; /* a conversation goes where it went last for so long; 0: it does not */
    /* How long calls under way may take until streams are ended with an error event. */
    uint32_t stop_ms;   /* when the server stops */
    uint32_t reload_ms; /* when others serve by a newer configuration */
    /* Money. */
    uint32_t hold_output_tokens; /* held for, when neither caller nor model states a cap */
    /*
     * A call is flagged when it reports fewer output tokens than the bytes of text relayed divided
     * by four (about a token) and by this.
     */
    uint32_t usage_band;
};

/* Which calls have a line in the log. */
enum conf_access {
    CONF_ACCESS_OFF = 0,
    CONF_ACCESS_SAMPLED, /* a share of them, and all that went wrong or were slow */
    CONF_ACCESS_FULL,
    CONF_ACCESS_COUNT
};
extern const char *const conf_access_name[CONF_ACCESS_COUNT];

struct conf_log {
    uint8_t access; /* enum conf_access */
    uint32_t sample_u; /* the share, in millionths */
    uint32_t slow_ms;  /* a call that took as long is slow */
};

struct conf_metrics {
    bool by_tenant, by_key;
    uint32_t series; /* most that are kept */
};

/* Where OpenTelemetry's traces and metrics go. Strings are NUL-terminated. */
struct conf_telemetry {
    bool on;                  /* the section is there, and its headers could be read */
    struct str otlp;          /* the collector's base URL, without a slash at its end */
    struct str headers;       /* secret: "name=value,name=value", values percent-encoded; or STR_NONE */
    struct str service;       /* service.name */
    struct str ca_file;       /* STR_NONE: the system's */
    uint32_t sample_u;        /* the share of traces, in millionths */
    uint32_t interval_ms;     /* spans wait for so long at most */
    uint32_t metrics_ms;      /* between two reports of metrics; 0: none */
    uint32_t timeout_ms;      /* for the collector to answer */
    uint32_t queue_count;     /* spans that wait at most */
};

/* Who may come, and for how long; without the section all of it by default. */
enum conf_registration { CONF_CLOSED = 0, CONF_APPROVAL, CONF_OPEN, CONF_REGISTRATION_COUNT };
extern const char *const conf_registration_name[CONF_REGISTRATION_COUNT]; /* "closed", … */

/* So many requests in a row at once, and then so many a minute. */
struct conf_pace {
    uint32_t per_minute, burst;
};

struct conf_manage {
    uint8_t registration;     /* enum conf_registration */
    bool edit;                /* routes.conf may be changed over the API */
    struct str title;         /* what people see this server called */
    struct str url;           /* where they reach it, without a slash at its end; STR_NONE: not stated */
    struct conf_strs domains; /* of mail addresses that may register; none: any */
    int64_t trial_ucr;        /* that a tenant begins with when it registers itself */
    uint32_t trial_days;      /* after which what is left of it is taken back; 0: never */
    uint64_t session_ms;      /* a session ends so long after it began */
    uint64_t session_idle_ms; /* and so long after it was last used */
    uint64_t invite_ms;       /* an invitation that says nothing else is good for so long */
    struct conf_strs trusted; /* proxies, as stated */
    const struct cidr *proxies; /* the same, read */
    size_t proxy_count;
    /* Requests of an address and of a caller; credentials that are none, of an address; what guesses passwords or
     * sends mails, of an address and for an account. */
    struct conf_pace address, caller, failure, sign_in, account;
    uint32_t keys_max, members_max, projects_max; /* of a tenant, that its people make */
};

/* What credit costs. */
struct conf_step {
    int64_t from_ucr, percent_u; /* per cent in millionths */
};
struct conf_package {
    enum conf_currency currency;
    int64_t amount_minor;
};
struct conf_topup {
    bool on; /* something is sold */
    int64_t credits_u[CONF_CURRENCY_COUNT]; /* credits for one unit of it, in millionths; 0: none */
    int64_t minimum_ucr, maximum_ucr;       /* of an order; maximum 0: none */
    struct conf_strs packages, bonus;       /* as stated */
    const struct conf_package *offers;      /* the same, read */
    size_t offer_count;
    const struct conf_step *steps; /* rising */
    size_t step_count;
    uint32_t bonus_days; /* after which what is left of a bonus is taken back; 0: never */
    uint64_t expires_ms; /* of an order */
    struct str bank; /* the account for transfers, as people are told it; STR_NONE: there are none */
    int64_t confirm_above_ucr; /* a bank transfer for more wants two people; 0: none does */
};

/* What the manage process talks to: as all here, strings are NUL-terminated. */
enum conf_language { CONF_ENGLISH = 0, CONF_CHINESE, CONF_LANGUAGE_COUNT };
extern const char *const conf_language_name[CONF_LANGUAGE_COUNT]; /* "en", "zh-CN" */

enum conf_mail_tls { CONF_MAIL_TLS_REQUIRED = 0, CONF_MAIL_TLS_OFF, CONF_MAIL_TLS_COUNT };
extern const char *const conf_mail_tls_name[CONF_MAIL_TLS_COUNT];

struct conf_mail {
    bool on;             /* the section is there, and its password could be read */
    struct str smtp;     /* as stated; STR_NONE: a program sends it */
    struct str host;     /* of it; without brackets */
    uint16_t port;
    bool implicit;       /* TLS from the first byte (smtps://) */
    bool local;          /* the server may have an address that is not public */
    uint8_t tls;         /* enum conf_mail_tls */
    struct str user, password; /* STR_NONE: it wants none */
    struct str ca_file;  /* STR_NONE: the system's */
    struct str sendmail; /* the program; STR_NONE: a server takes it */
    struct str from;     /* the address */
    struct str from_name; /* "" or a name beside it */
    struct str reply_to; /* STR_NONE: none */
    struct str operators; /* STR_NONE: nobody is told */
    uint8_t language;    /* enum conf_language: for who has said none */
    uint32_t timeout_ms; /* one mail */
};

/* An HTTPS service of somebody else's. */
struct conf_service_at {
    struct str url;
    bool local;          /* it may have an address that is not public */
    struct str ca_file;  /* STR_NONE: the system's */
    uint32_t timeout_ms; /* one question */
};

struct conf_turnstile {
    bool on; /* the section is there, and its secret could be read */
    struct str site_key; /* public: for the page */
    struct str secret;
    struct conf_service_at at; /* that verifies */
    struct conf_strs hostnames; /* that an answer may be for; none: any */
};

#define CONF_OIDC_COUNT_MAX 16
struct conf_oidc {
    struct str name, title;
    bool on; /* its secret could be read, or it has none to be */
    struct conf_service_at at; /* at.url: the issuer, byte for byte as its tokens have it */
    struct str client_id;
    struct str secret; /* STR_NONE: a public client, by PKCE alone */
    struct conf_strs scopes;
    struct conf_strs domains; /* of mail addresses that may come; none: any */
    bool unverified; /* takes addresses that the provider does not say it has verified */
};

/* Do both say the same, secrets too? */
bool conf_telemetry_same(const struct conf_telemetry *a, const struct conf_telemetry *b);

/* One thing said about a file. */
struct conf_fault {
    const char *file;
    unsigned line; /* from 1 */
    bool warning;  /* does not keep the file from being used */
    const char *message;
};

/* In the order of file and line. All zero is the empty list. */
struct conf_faults {
    struct conf_fault *at;
    size_t count; /* faults and warnings */
    size_t fault_count;
    size_t warning_count;
};

void conf_faults_free(struct conf_faults *faults);

struct conf_memory;

struct conf {
    const struct conf_upstream *upstreams;
    size_t upstream_count;
    size_t credential_count; /* of all upstreams */
    const struct conf_model *models;
    size_t model_count;
    const struct conf_channel *channels;
    size_t channel_count;
    const struct conf_auto *autos;
    size_t auto_count;
    const struct conf_rule *rules;
    size_t rule_count;
    struct conf_limits limits;
    struct conf_log log;
    struct conf_telemetry telemetry;
    struct conf_retention retention;
    struct conf_metrics metrics;
    struct conf_manage manage;
    struct conf_topup topup;
    struct conf_mail mail;
    struct conf_turnstile turnstile;
    struct conf_service_at webhooks; /* url: none, they are the tenants' */
    const struct conf_oidc *oidcs;
    size_t oidc_count;
    /*
     * A hash of conf_prices_json(): equal where equal prices are stated, whatever else the file
     * says. Never 0.
     */
    uint64_t price_version;
    /*
     * A hash of the text of all files that were read, of no secret: two readings that have the same
     * are of the same text.
     */
    uint64_t text_hash;
    struct conf_memory *memory; /* all that the pointers above point at; conf/'s own */
};

/*
 * Reads the file (and what it includes) and the secrets it names. NULL when there is any fault;
 * *faults then has all of them. Warnings may come with a snapshot. *faults is overwritten and
 * the caller frees it in either case. Allocates; logs nothing; not for two threads at once.
 */
struct conf *conf_load(const char *path, struct conf_faults *faults) MUST_CHECK;

/*
 * The same for a file that takes the place of `running`, which still is in use. A secret that this has
 * and that cannot be read any more (root was dropped since, say) is a fault here, since calls would
 * lose a key that works; what running has not is only warned of, as ever. So is a file by which nothing
 * can be served, where something was. Waits for nobody: a pipe is empty.
 */
struct conf *
conf_reload(const char *path, const struct conf *running, struct conf_faults *faults) MUST_CHECK;

/*
 * The same for what is to be written to that path: as if it stood there already. Its text_hash is not what it
 * will be.
 */
struct conf *
conf_reload_as(const char *path, struct str text, const struct conf *running,
               struct conf_faults *faults) MUST_CHECK;

/*
 * The same for text in memory, called `name` in messages. include() is refused, secrets are not
 * looked for (upstreams that name one are not disabled and have none), and no file is opened.
 */
struct conf *
conf_load_text(struct str text, const char *name, struct conf_faults *faults) MUST_CHECK;

/* Wipes the secrets, frees all, leaves NULL. */
void conf_free(struct conf **conf);

/*
 * Wipes the secrets of what the manage process talks to: for all others. What they are for is then off.
 */
void conf_forget_outside(struct conf *conf);

/* Indexes by exact name, CONF_NONE when there is none. Models also by alias; in constant time. */
int conf_model_index(const struct conf *conf, struct str name);
int conf_auto_index(const struct conf *conf, struct str name);
int conf_channel_index(const struct conf *conf, struct str name);
int conf_upstream_index(const struct conf *conf, struct str name);
/* The channel that may have been meant by a name that is none's, or STR_NONE. */
struct str conf_channel_meant(const struct conf *conf, struct str name);

/* Does the upstream serve this model at all (its globs, not its protocols)? */
bool conf_upstream_serves(const struct conf_upstream *upstream, const struct conf_model *model);
/* What this upstream calls the model. */
struct str
conf_upstream_model_name(const struct conf_upstream *upstream, const struct conf_model *model);

/*
 * In the place of a service's number: the request is one of a batch. Its price is the model's
 * per-batched-request and nothing else, whatever the tier and the hour. Stands in records.
 */
#define CONF_SERVICE_BATCHED 255u
#define CONF_KEY_BATCHED "per-batched-request"
_Static_assert(CONF_SERVICE_COUNT_MAX < CONF_SERVICE_BATCHED, "no service has its number");

/* Of a tier, service and discount by their numbers, each from 1 with 0 for none; of a batch, those of
 * a model that states its price. */
const struct conf_terms *conf_terms_at(const struct conf_model *model, unsigned tier,
                                       unsigned service, unsigned discount);

/* Is this what a provider calls the service that the model's own prices are for? */
bool conf_service_is_plain(struct str name);

/*
 * How a price of those terms came about: a list price as it is stated somewhere, and what it is
 * multiplied by, in units of 10^-12. Their product is exact.
 */
#define CONF_WEIGHT_ONE UINT64_C(1000000000000)
struct conf_rate {
    int64_t u_per_mtok;
    uint64_t weight;
};
struct conf_rate conf_rate_of(const struct conf_model *model, unsigned tier, unsigned service,
                              unsigned discount, enum conf_class class);

/*
 * Appends everything price-relevant as one JSON object: models with currency, prices, tiers,
 * services and discounts, and the channels' multipliers, as integers of micro-units; in the order
 * of names, so that the order in the file does not matter. For the ledger to keep under
 * price_version.
 */
void conf_prices_json(const struct conf *conf, struct buf *out);

/*
 * The way back, from what conf_prices_json() wrote: models with all that prices them, and channels
 * with their multipliers, to be found by name; nothing else. NULL when it is not such a text or out
 * of memory. For any thread.
 */
struct conf *conf_prices_read(struct str json) MUST_CHECK;

#endif
