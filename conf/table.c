#include "conf/table.h"

#include "base/str.h"
#include "conf/build.h"
#include "conf/table_in.h"

const char *const conf_protocol_name[CONF_PROTOCOL_COUNT] = {
    [CONF_OPENAI] = "openai",
    [CONF_RESPONSES] = "responses",
    [CONF_ANTHROPIC] = "anthropic",
    [CONF_GEMINI] = "gemini",
};

const char *const conf_currency_name[CONF_CURRENCY_COUNT] = {
    [CONF_USD] = "USD",
    [CONF_CNY] = "CNY",
};

const char *const conf_can_name[CONF_CAN_COUNT] = {
    [CONF_CAN_TOOLS] = "tools", [CONF_CAN_VISION] = "vision", [CONF_CAN_THINKING] = "thinking",
    [CONF_CAN_JSON] = "json",   [CONF_CAN_AUDIO] = "audio",   [CONF_CAN_EMBEDDINGS] = "embeddings",
};

const char *const conf_thinking_name[CONF_THINKING_COUNT] = {
    [CONF_THINKING_BUDGET] = "budget",
    [CONF_THINKING_EFFORT] = "effort",
};

const char *const conf_access_name[CONF_ACCESS_COUNT] = {
    [CONF_ACCESS_OFF] = "off",
    [CONF_ACCESS_SAMPLED] = "sampled",
    [CONF_ACCESS_FULL] = "full",
};

const char *const conf_mail_tls_name[CONF_MAIL_TLS_COUNT] = {
    [CONF_MAIL_TLS_REQUIRED] = "required",
    [CONF_MAIL_TLS_OFF] = "off",
};

const char *const conf_language_name[CONF_LANGUAGE_COUNT] = {
    [CONF_ENGLISH] = "en",
    [CONF_CHINESE] = "zh-CN",
};

const char *const conf_class_name[CONF_CLASS_COUNT] = {
    [CONF_INPUT] = "input",
    [CONF_CACHE_READ] = "cache-read",
    [CONF_CACHE_WRITE_5M] = "cache-write",
    [CONF_CACHE_WRITE_1H] = "cache-write-1h",
    [CONF_AUDIO_INPUT] = "audio-input",
    [CONF_IMAGE_INPUT] = "image-input",
    [CONF_OUTPUT] = "output",
    [CONF_REASONING] = "reasoning",
    [CONF_AUDIO_OUTPUT] = "audio-output",
    [CONF_IMAGE_OUTPUT] = "image-output",
    [CONF_IMAGES] = "per-image",
    [CONF_SECONDS] = "per-second",
    [CONF_CHARACTERS] = "per-million-characters",
    [CONF_REQUESTS] = "per-request",
    [CONF_SEARCHES] = "per-search",
};

const char *const conf_type_name[CONF_TYPE_COUNT] = {
    [CONF_T_STRING] = "string",      [CONF_T_STRINGS] = "list of strings",
    [CONF_T_BOOL] = "true or false", [CONF_T_UINT] = "number",
    [CONF_T_SIZE] = "size",          [CONF_T_DURATION] = "duration",
    [CONF_T_AGE] = "age",
    [CONF_T_DECIMAL] = "decimal",    [CONF_T_PRICE] = "price",
    [CONF_T_EACH] = "price of one",  [CONF_T_WORD] = "word",
    [CONF_T_BITS] = "list of words",
};

const char *const conf_reload_name[CONF_RELOAD_COUNT] = {
    [CONF_RELOAD_CALLS] = "calls that start after it",
    [CONF_RELOAD_CONNECTIONS] = "connections opened after it",
    [CONF_RELOAD_AT_ONCE] = "what is there",
};

#define LIMIT_MAX 10000000u
#define TOKEN_LIMIT_MAX 4000000000u

#define UPSTREAM struct draft_upstream
static const struct conf_key upstream_keys[] = {
    KEY_BITS("protocol", UPSTREAM, out.protocols, conf_protocol_name, .required = true,
             .doc = "The wire protocols that this upstream speaks. The caller's own is preferred; "
                    "where it is not among them conversations are translated."),
    KEY_STRING("url", UPSTREAM, out.url, .required = true, .min = 1, .max = 2048,
               .reload = CONF_RELOAD_CONNECTIONS,
               .doc = "The base that the maker's SDK takes: OpenAI's ends in /v1, Anthropic's does "
                      "not. Without user, query or fragment. Plain http only where local is true."),
    KEY_BOOL("local", UPSTREAM, out.local, .def = "false", .reload = CONF_RELOAD_CONNECTIONS,
             .doc = "Allows addresses that are not public (loopback, private), and plain http."),
    KEY_STRING("key-env", UPSTREAM, from.key_env, .min = 1, .max = 128,
               .doc = "The environment variable that holds the provider's key."),
    KEY_STRING("key-file", UPSTREAM, from.key_file, .min = 1, .max = 4095,
               .doc = "The file that holds the provider's key, readable by its owner alone; one "
                      "newline at its end is cut. Relative to the file that names it."),
    KEY_STRING("key-credential", UPSTREAM, from.key_credential, .min = 1, .max = 255,
               .doc = "The systemd credential that holds the provider's key."),
    KEY_STRINGS("models", UPSTREAM, out.models, .def = "*", .min = 1, .max = 255,
                .doc = "Globs over the names of the models that it serves."),
    KEY_STRINGS("rename", UPSTREAM, renames, .empty_ok = true, .min = 1, .max = 511,
                .doc = "Pairs MODEL=NAME: what this upstream calls a model."),
    KEY_DURATION("timeout-connect", UPSTREAM, out.connect_ms, .min = 1, .max = MINUTE, .def = "3s",
                 .doc = "Give up connecting, TLS included, after this long and try the next "
                        "upstream."),
    KEY_DURATION("timeout-first-byte", UPSTREAM, out.first_byte_ms, .min = 1, .max = HOUR,
                 .def = "120s",
                 .doc = "How long the first byte of an answer may take once the request is sent."),
    KEY_DURATION("timeout-idle", UPSTREAM, out.idle_ms, .min = 1, .max = HOUR, .def = "300s",
                 .doc = "How long an answer that has begun may pause. Comments in a stream do not "
                        "count as progress."),
    KEY_UINT("max-connections", UPSTREAM, out.connections_max, .min = 1, .max = 65535, .def = "512",
             .doc = "Connections to this upstream, over all workers."),
    KEY_UINT("rpm", UPSTREAM, own.rpm, .min = 0, .max = LIMIT_MAX, .def = "0",
             .doc = "The provider's own limit of calls a minute, over all workers; 0 is none. With "
                    "credential sections each of them has this limit, unless it states another; "
                    "so it is with the next two."),
    KEY_UINT("tpm", UPSTREAM, own.tpm, .min = 0, .max = TOKEN_LIMIT_MAX, .def = "0",
             .doc = "The same of tokens a minute, input and output together."),
    KEY_UINT("concurrency", UPSTREAM, own.concurrency, .min = 0, .max = LIMIT_MAX, .def = "0",
             .doc = "The same of calls at a time."),
    KEY_DURATION("probe", UPSTREAM, out.probe_ms, .min = 0, .max = HOUR, .def = "0s",
                 .doc = "How often one of the workers asks it for its list of models, to see "
                        "whether it is well; 0 is never."),
    KEY_STRING("probe-model", UPSTREAM, out.probe_model, .min = 0, .max = 255, .def = "",
               .doc = "What the upstream calls a model that a probe asks for an answer of one token, "
                      "in place of the list. The provider charges for it; no tenant does."),
    KEY_BOOL("check-model", UPSTREAM, out.check_model, .def = "true",
             .doc = "An answer that names another model than the one asked for is a failure of "
                    "this upstream. To be turned off for one that has names of its own."),
    KEY_BOOL("translate", UPSTREAM, out.translate, .def = "true",
             .doc = "Takes conversations of callers who speak another protocol, translated, when no "
                    "upstream of the channel speaks theirs or those that do have failed."),
    KEY_BOOL("completions", UPSTREAM, out.completions, .def = "true",
             .doc = "Has OpenAI's old completions. Where it has not, such calls are made into "
                    "chat."),
    KEY_BOOL("old-max-tokens", UPSTREAM, out.max_tokens_old, .def = "false",
             .doc = "In chat it takes max_tokens, and not max_completion_tokens; for calls that are "
                    "translated."),
    KEY_BOOL("takes-reasoning", UPSTREAM, out.takes_reasoning, .def = "false",
             .doc = "In chat it wants its reasoning back; for calls that are translated."),
    KEY_BOOL("system-later", UPSTREAM, out.system_later, .def = "false",
             .doc = "Takes messages of the role system among the others in Anthropic's protocol: "
                    "for calls that are translated; elsewhere they become the user's."),
    KEY_DECIMAL("cost", UPSTREAM, out.cost_u, .min = 1, .max = CONF_COST_MAX_U, .def = "1",
                .doc = "What you pay there, in parts of the list price: 0.8 is a fifth less. Of "
                       "upstreams of a channel that do about as well, the cheaper one is "
                       "preferred; and by it is reckoned what failed tries cost you. No caller's "
                       "price depends on it."),
    KEY_STRING("ca-file", UPSTREAM, ca_file, .min = 0, .max = 4095, .def = "",
               .reload = CONF_RELOAD_CONNECTIONS,
               .doc = "Certificate authorities to trust instead of the system's, in PEM. Relative "
                      "to the file that names it."),
};

#define CREDENTIAL struct draft_credential
static const struct conf_key credential_keys[] = {
    KEY_STRING("key-env", CREDENTIAL, from.key_env, .min = 1, .max = 128,
               .doc = "As in the upstream."),
    KEY_STRING("key-file", CREDENTIAL, from.key_file, .min = 1, .max = 4095,
               .doc = "As in the upstream."),
    KEY_STRING("key-credential", CREDENTIAL, from.key_credential, .min = 1, .max = 255,
               .doc = "As in the upstream."),
    KEY_UINT("rpm", CREDENTIAL, out.rpm, .min = 0, .max = LIMIT_MAX,
             .doc = "The provider's limit of calls a minute for this key; the upstream's when "
                    "absent, 0 is none."),
    KEY_UINT("tpm", CREDENTIAL, out.tpm, .min = 0, .max = TOKEN_LIMIT_MAX,
             .doc = "The same of tokens a minute."),
    KEY_UINT("concurrency", CREDENTIAL, out.concurrency, .min = 0, .max = LIMIT_MAX,
             .doc = "The same of calls at a time."),
    KEY_UINT("weight", CREDENTIAL, out.weight, .min = 0, .max = 1000, .def = "1",
             .doc = "How often this key is used beside the upstream's others, in proportion; 0 only "
                    "when all others are down."),
};

#define MODEL struct draft_model
static const struct conf_key model_keys[] = {
    KEY_STRING("family", MODEL, out.family, .min = 1, .max = CONF_NAME_LEN_MAX,
               .doc = "The maker's line that the model belongs to; its own name when absent. "
                      "Failover never leaves it."),
    KEY_WORD("currency", MODEL, out.currency, conf_currency_name, .def = "USD",
             .doc = "The currency of the list prices."),
    KEY_PRICE("input", MODEL, CONF_INPUT, .required = true,
              .doc = "List price of 1,000,000 tokens of input. Must be stated; 0 is free."),
    KEY_PRICE("output", MODEL, CONF_OUTPUT, .required = true,
              .doc = "List price of 1,000,000 tokens of output. Must be stated; 0 is free."),
    KEY_PRICE("cache-read", MODEL, CONF_CACHE_READ,
              .doc = "List price of 1,000,000 tokens of input read from the provider's cache; the "
                     "price of input when absent."),
    KEY_PRICE("cache-write", MODEL, CONF_CACHE_WRITE_5M,
              .doc = "List price of 1,000,000 tokens of input written to the provider's cache for "
                     "five minutes; the price of input when absent."),
    KEY_PRICE("cache-write-1h", MODEL, CONF_CACHE_WRITE_1H,
              .doc = "The same for one hour; the price of cache-write when absent."),
    KEY_PRICE("reasoning", MODEL, CONF_REASONING,
              .doc = "List price of 1,000,000 tokens of reasoning; the price of output when absent."),
    KEY_PRICE("audio-input", MODEL, CONF_AUDIO_INPUT,
              .doc = "List price of 1,000,000 tokens of sound that went in; the price of input when "
                     "absent."),
    KEY_PRICE("audio-output", MODEL, CONF_AUDIO_OUTPUT,
              .doc = "List price of 1,000,000 tokens of sound that came out; the price of output "
                     "when absent."),
    KEY_PRICE("image-input", MODEL, CONF_IMAGE_INPUT,
              .doc = "List price of 1,000,000 tokens of pictures that went in; the price of input "
                     "when absent."),
    KEY_PRICE("image-output", MODEL, CONF_IMAGE_OUTPUT,
              .doc = "List price of 1,000,000 tokens of pictures that came out; the price of output "
                     "when absent."),
    KEY_EACH("per-image", MODEL, CONF_IMAGES, .doc = "List price of one picture made."),
    KEY_EACH("per-second", MODEL, CONF_SECONDS, .doc = "List price of one second of sound."),
    KEY_PRICE("per-million-characters", MODEL, CONF_CHARACTERS,
              .doc = "List price of 1,000,000 characters of text."),
    KEY_EACH("per-request", MODEL, CONF_REQUESTS, .doc = "List price of one answer."),
    KEY_EACH("per-search", MODEL, CONF_SEARCHES,
             .doc = "List price of one search of the web by the provider's own tool."),
    KEY_ONE(CONF_KEY_BATCHED, MODEL, out.batched_u,
            .doc = "List price of one request of a batch, whatever it asks for; a model without it "
                   "cannot be batched."),
    KEY_UINT("context", MODEL, out.context_tokens, .min = 1, .max = 1000000000,
             .doc = "The context window, in tokens."),
    KEY_UINT("max-output", MODEL, out.output_tokens_max, .min = 1, .max = 1000000000,
             .doc = "The most tokens that one answer can have. Held for when the caller states no "
                    "cap."),
    KEY_BITS("can", MODEL, out.can, conf_can_name, .empty_ok = true,
             .doc = "What the model is able to do."),
    KEY_WORD("thinking", MODEL, out.thinking, conf_thinking_name, .def = "budget",
             .doc = "How it is asked to think when a call is translated: by a budget of tokens, or "
                    "by an effort in words (Anthropic's adaptive thinking, Gemini's levels)."),
    KEY_BOOL("sampling", MODEL, out.sampling, .def = "true",
             .doc = "Takes temperature, top_p and top_k. Where it does not they are left out when "
                    "a call is translated."),
    KEY_BOOL("schemas", MODEL, out.schemas, .def = "true",
             .doc = "Takes a JSON schema that its answer is to follow. Where an Anthropic model does "
                    "not it is made to answer by a tool of that schema when a call is translated."),
    KEY_UINT("quality", MODEL, out.quality, .min = 0, .max = 100, .def = "50",
             .doc = "How good its answers are, for an auto name to choose by."),
    KEY_STRINGS("alias", MODEL, out.aliases, .empty_ok = true, .min = 1,
                .max = CONF_MODEL_NAME_LEN_MAX, .doc = "Other names that callers may use for it."),
    KEY_STRING("source", MODEL, out.source, .min = 1, .max = 512,
               .doc = "The page that the list prices were read from, as an https:// address. Only "
                      "shown."),
    KEY_STRING("date", MODEL, out.date, .min = 1, .max = 10,
               .doc = "The day on which they were read, such as 2026-01-31. Only shown."),
};

#define TIER struct draft_tier
static const struct conf_key tier_keys[] = {
    KEY_UINT("above", TIER, out.above_tokens, .required = true, .min = 1, .max = 1000000000,
             .doc =
                 "The tier holds when the context of a call, all input tokens together, is larger "
                 "than this. The whole call is then priced by it."),
    KEY_BOOL("inclusive", TIER, out.inclusive, .def = "false",
             .doc = "The tier holds also when the context is exactly that large."),
    KEYS_PRICES(TIER, "As in the model; the model's own when absent."),
};

#define SERVICE struct draft_change
static const struct conf_key service_keys[] = {
    KEY_DECIMAL("factor", SERVICE, out.factor_u, .min = 1, .max = CONF_FACTOR_MAX_U, .def = "1",
                .doc = "What the prices of tokens are multiplied by that are not stated here."),
    KEYS_PRICES(SERVICE, "As in the model, and instead of any tier's."),
};

#define DISCOUNT struct draft_discount
static const struct conf_key discount_keys[] = {
    KEY_STRING("from", DISCOUNT, from, .required = true, .min = 1, .max = 16,
               .doc = "The time of day at which it begins, such as 16:30."),
    KEY_STRING("to", DISCOUNT, to, .required = true, .min = 1, .max = 16,
               .doc = "The time of day at which it is over; the next day's when that is not later "
                      "than from."),
    KEY_STRING("zone", DISCOUNT, zone, .def = "UTC", .min = 1,
               .max = ZONE_NAME_LEN_MAX,
               .doc = "The zone of these times, by its name in the system's time zone database, such "
                      "as Asia/Shanghai."),
    KEY_DECIMAL("factor", DISCOUNT, out.factor_u, .min = 1, .max = CONF_FACTOR_MAX_U, .def = "1",
                .doc = "What the prices of tokens are multiplied by that are not stated here."),
    KEYS_PRICES(DISCOUNT, "As in the model, and instead of any tier's or service's."),
};

#define CHANNEL struct draft_channel
static const struct conf_key channel_keys[] = {
    KEY_STRING("title", CHANNEL, out.title, .min = 1, .max = 128,
               .doc = "The name that people are shown."),
    KEY_DECIMAL("multiplier", CHANNEL, out.multiplier_u[CONF_USD], .min = 1,
                .max = CONF_MULTIPLIER_MAX_U, .def = "1", .doc = "Credits per USD of list price."),
    KEY_DECIMAL("multiplier-cny", CHANNEL, out.multiplier_u[CONF_CNY], .min = 1,
                .max = CONF_MULTIPLIER_MAX_U, .def = "1", .doc = "Credits per CNY of list price."),
    KEY_STRINGS("use", CHANNEL, use, .required = true, .min = 1, .max = CONF_NAME_LEN_MAX,
                .doc = "The upstreams of this channel."),
    KEY_STRINGS("weights", CHANNEL, weights, .empty_ok = true, .min = 1, .max = 128,
                .doc = "Pairs UPSTREAM=N: how often each comes first, in proportion. 1 when "
                       "absent; 0 only when all others are down."),
    KEY_STRING("source", CHANNEL, out.source, .min = 1, .max = 64,
               .doc = "What kind of source it is, as people are told: official, reseller, mixed, or "
                      "other words."),
    KEY_BOOL("public", CHANNEL, out.is_public, .def = "true",
             .doc = "A key without a list of channels may use it."),
};

#define AUTO struct conf_auto
static const struct conf_key auto_keys[] = {
    KEY_STRINGS("models", AUTO, models, .required = true, .min = 1, .max = 255,
                .doc = "Globs over the names of the models to choose from."),
    KEY_DECIMAL("latency", AUTO, latency_u, .max = CONF_MICRO, .def = "0.3",
                .doc = "Weight of a quick first byte."),
    KEY_DECIMAL("cost", AUTO, cost_u, .max = CONF_MICRO, .def = "0.4",
                .doc = "Weight of a low price."),
    KEY_DECIMAL("quality", AUTO, quality_u, .max = CONF_MICRO, .def = "0.3",
                .doc = "Weight of the model's quality."),
};

#define RULE struct draft_rule
static const struct conf_key rule_keys[] = {
    KEY_STRINGS("model", RULE, out.models, .empty_ok = true, .min = 1, .max = 255,
                .doc = "Globs over the model that the caller asks for, by its name, one of its "
                       "aliases, or as it was written."),
    KEY_STRINGS("project", RULE, out.projects, .empty_ok = true, .min = 1, .max = 255,
                .doc = "Globs over the name of the key's project."),
    KEY_STRINGS("key", RULE, out.keys, .empty_ok = true, .min = 1, .max = 255,
                .doc = "Globs over the name of the key."),
    KEY_BITS("needs", RULE, out.needs, conf_can_name, .empty_ok = true,
             .doc = "What the request needs, each of these: tools or images in it, for example."),
    KEY_UINT("context-above", RULE, out.context_above, .min = 1, .max = 1000000000,
             .doc = "The request's input comes to more tokens than this, by its size."),
    KEY_UINT("context-below", RULE, out.context_below, .min = 1, .max = 1000000000,
             .doc = "The request's input comes to fewer tokens than this, by its size."),
    KEY_STRING("hours", RULE, hours, .min = 1, .max = 16,
               .doc = "The part of the day, such as 22:00-06:00: from the first moment inclusive to "
                      "the second exclusive."),
    KEY_STRING("zone", RULE, zone, .min = 1, .max = ZONE_NAME_LEN_MAX, .def = "UTC",
               .doc = "The time zone of hours, by its name in the tz database."),
    KEY_STRING("exhausted", RULE, exhausted, .min = 1, .max = CONF_NAME_LEN_MAX,
               .doc = "A channel in which every upstream that could serve the call is down or at "
                      "its limit."),
    KEY_STRING("to-model", RULE, to_model, .min = 1, .max = CONF_MODEL_NAME_LEN_MAX,
               .doc = "The model, or auto name, that serves the call instead."),
    KEY_STRINGS("to-channel", RULE, to_channel, .empty_ok = true, .min = 1,
                .max = CONF_NAME_LEN_MAX,
                .doc = "The channels that the call goes to, in this order, of those that its key "
                       "may use."),
    KEY_STRINGS("fallback", RULE, fallback, .empty_ok = true, .min = 1,
                .max = CONF_MODEL_NAME_LEN_MAX,
                .doc = "Models of the same family to try in this order when the model itself "
                       "fails, for keys that allow siblings."),
};

#define LIMITS struct conf_limits
#define CONNECTIONS .reload = CONF_RELOAD_CONNECTIONS
static const struct conf_key limits_keys[] = {
    KEY_SIZE("body", LIMITS, body_bytes, .min = KIB, .max = 1024 * MIB, .def = "32m",
             .doc = "A request's body."),
    KEY_SIZE("headers", LIMITS, headers_bytes, .min = KIB, .max = MIB, .def = "64k", CONNECTIONS,
             .doc = "A request's headers in all."),
    KEY_SIZE("header", LIMITS, header_bytes, .min = 256, .max = 32 * KIB, .def = "16k", CONNECTIONS,
             .doc = "One header of a request."),
    KEY_UINT("header-lines", LIMITS, header_lines, .min = 8, .max = 100, .def = "100", CONNECTIONS,
             .doc = "Headers of a request."),
    KEY_SIZE("request-line", LIMITS, request_line_bytes, .min = 256, .max = 32 * KIB, .def = "16k",
             CONNECTIONS, .doc = "The first line of a request."),
    KEY_SIZE("chunk-extra", LIMITS, chunk_extra_bytes, .min = 0, .max = 64 * KIB, .def = "4k",
             CONNECTIONS, .doc = "Chunk extensions and trailers of one message in all."),
    KEY_UINT("blank-lines", LIMITS, blank_lines, .min = 0, .max = 100, .def = "2", CONNECTIONS,
             .doc = "Empty lines before a request."),
    KEY_UINT("connections", LIMITS, connections, .min = 1, .max = 10000000, .def = "20000",
             CONNECTIONS,
             .doc = "Connections of clients, over all workers. Past it a request gets a 503, but for "
                    "those for /healthz and /readyz."),
    KEY_UINT("connections-per-address", LIMITS, connections_per_address, .min = 0, .max = 10000000,
             .def = "10000", CONNECTIONS,
             .doc = "Connections of clients of one address, over all workers; of IPv6 a /64 counts "
                    "as one. 0: no bound of its own, as where a proxy stands before the server."),
    KEY_UINT("calls", LIMITS, calls, .min = 1, .max = 1000000, .def = "20000",
             .doc = "Calls under way, over all workers. Past it a call gets a 503."),
    KEY_SIZE("memory", LIMITS, memory_bytes, .min = 0, .max = UINT64_C(1) << 40, .def = "0",
             .doc = "What bodies and buffers may come to in all, a worker. When three quarters of it "
                    "are taken large requests get a 503, at seven eighths all calls do. At least twice "
                    "body; 0: 1g, or four times body where that is more."),
    KEY_UINT("requests-per-connection", LIMITS, requests_per_connection, .min = 1,
             .max = 4000000000, .def = "100000", CONNECTIONS,
             .doc = "Requests on one connection of a client; after the last it is closed."),
    KEY_DURATION("time-headers", LIMITS, headers_ms, .min = 100, .max = HOUR, .def = "10s",
                 CONNECTIONS, .doc = "How long the line and headers of a request may take."),
    KEY_DURATION("time-body", LIMITS, body_ms, .min = 100, .max = HOUR, .def = "60s", CONNECTIONS,
                 .doc = "How long a request's body may take, unless it keeps to body-rate."),
    KEY_SIZE("body-rate", LIMITS, body_bytes_per_s_min, .min = 1, .max = 1024 * MIB, .def = "1k",
             CONNECTIONS, .doc = "Bytes a second that a body must average once time-body is over."),
    KEY_DURATION("time-idle", LIMITS, idle_ms, .min = 100, .max = 24 * HOUR, .def = "60s",
                 CONNECTIONS,
                 .doc = "How long a client's connection may lie idle between requests."),
    KEY_DURATION("time-write", LIMITS, write_ms, .min = 100, .max = HOUR, .def = "60s", CONNECTIONS,
                 .doc = "How long a client may leave written data untaken."),
    KEY_SIZE("response-headers", LIMITS, response_headers_bytes, .min = KIB, .max = MIB,
             .def = "64k", .doc = "The headers of an upstream's answer in all."),
    KEY_UINT("response-interim", LIMITS, response_headers_1xx, .min = 0, .max = 100, .def = "8",
             .doc = "Interim answers (status 1xx) of an upstream before the real one."),
    KEY_SIZE("response-body", LIMITS, response_body_bytes, .min = KIB, .max = 1024 * MIB,
             .def = "32m", .doc = "An upstream's answer that is not a stream."),
    KEY_SIZE("event", LIMITS, event_bytes, .min = KIB, .max = 64 * MIB, .def = "1m",
             .doc = "One event of a stream."),
    KEY_SIZE("message", LIMITS, message_bytes, .min = KIB, .max = 1024 * MIB, .def = "16m",
             .doc = "One message of a realtime session, in either direction."),
    KEY_DURATION("time-call", LIMITS, call_ms, .min = SECOND, .max = 24 * HOUR, .def = "1h",
                 .doc = "A call in all, from its request to the end of its answer."),
    KEY_UINT("attempts", LIMITS, attempts, .min = 1, .max = 6, .def = "6",
             .doc = "Upstreams that one call may try."),
    KEY_UINT("queue", LIMITS, queue_count, .min = 0, .max = 16384, .def = "256",
             .doc = "Calls that may wait at a time while all that could serve them is at its "
                    "provider's limits, a worker. They take turns by tenant; when the queue is "
                    "full the tenant that waits with most calls gives way. 0: none waits."),
    KEY_DURATION("queue-time", LIMITS, queue_ms, .min = 1, .max = HOUR, .def = "10s",
                 .doc = "How long a call may wait so; then its client gets a 429."),
    KEY_SIZE("commit-bytes", LIMITS, commit_bytes, .min = 0, .max = MIB, .def = "64k",
             .doc = "How much of a stream's beginning is held back until its first content, so "
                    "that another upstream can still be tried."),
    KEY_DURATION("commit-time", LIMITS, commit_ms, .min = 0, .max = HOUR, .def = "10s",
                 .doc = "How long a stream's beginning is held back; then the client gets what "
                        "there is."),
    KEY_DURATION("affinity", LIMITS, affinity_ms, .min = 0, .max = 24 * HOUR, .def = "10m",
                 .doc = "How long after its last turn a conversation still goes to the upstream and "
                        "credential that served it, whose provider may have its beginning in a "
                        "cache; 0s turns that off."),
    KEY_DURATION("time-stop", LIMITS, stop_ms, .min = 0, .max = HOUR, .def = "30s",
                 .doc = "How long calls under way may still take when the server is told to stop; "
                        "then streams end with an error event."),
    KEY_DURATION("time-reload", LIMITS, reload_ms, .min = 0, .max = 24 * HOUR, .def = "15m",
                 .doc = "The same for the calls that a reload finds under way, and for those on "
                        "connections that were open then, while all others are served by the new "
                        "configuration."),
    KEY_UINT("hold-output", LIMITS, hold_output_tokens, .min = 1, .max = 10000000, .def = "4096",
             .doc = "Tokens of output to hold credit for when neither the caller nor the model "
                    "states a cap; the hold is extended as the answer grows."),
    KEY_UINT("usage-band", LIMITS, usage_band, .min = 1, .max = 1000, .def = "8",
             .doc =
                 "A call is flagged when its upstream reports fewer output tokens than the bytes "
                 "of text that it relayed, divided by four and by this."),
};

#define LOG struct conf_log
static const struct conf_key log_keys[] = {
    KEY_WORD("access", LOG, access, conf_access_name, .def = "off",
             .doc = "Which calls have a line in the log: off is none, full all, sampled a share of "
                    "them and each that went wrong or was slow."),
    KEY_DECIMAL("sample", LOG, sample_u, .max = CONF_MICRO, .def = "0.01",
                .doc = "The share of calls in a sample: 0.01 is one of a hundred."),
    KEY_DURATION("slow", LOG, slow_ms, .min = 1, .max = 24 * HOUR, .def = "30s",
                 .doc = "A call that took as long, from its request to the end of its answer, is "
                        "slow."),
};

#define RETENTION struct conf_retention
#define AT_ONCE .reload = CONF_RELOAD_AT_ONCE

static const struct conf_key retention_keys[] = {
    KEY_AGE("records", RETENTION, records_ms, .min = 0, .max = UINT64_C(36500) * 24 * HOUR, .def = "0s", AT_ONCE,
            .doc = "How long the record of a call is kept after it was charged; 0s is for ever."),
    KEY_SIZE("size", RETENTION, size_bytes, .min = 0, .max = UINT64_C(65536) * 1024 * MIB, .def = "0",
             AT_ONCE,
             .doc = "How much room in the store records may take; when it is more, the oldest go. 0 "
                    "is no bound."),
};

#define METRICS struct conf_metrics
static const struct conf_key metrics_keys[] = {
    KEY_BOOL("by-tenant", METRICS, by_tenant, .def = "false",
             .doc = "Calls, tokens and credits of each tenant, by its number."),
    KEY_BOOL("by-key", METRICS, by_key, .def = "false",
             .doc = "The same of each key of each tenant, by their numbers."),
    KEY_UINT("series", METRICS, series, .min = 10, .max = 2000, .def = "1000",
             .doc = "How many combinations of model, channel and upstream, tenants and keys are told "
                    "apart, from the first start on. What comes later is counted as other."),
};

#define TELEMETRY struct draft_telemetry
static const struct conf_key telemetry_keys[] = {
    KEY_STRING("otlp", TELEMETRY, out.otlp, .min = 1, .max = 2048,
               .doc = "The base URL of a collector that takes OTLP over HTTP, such as "
                      "http://127.0.0.1:4318; /v1/traces and /v1/metrics are added to it. The value "
                      "of OTEL_EXPORTER_OTLP_ENDPOINT when absent."),
    KEY_STRING("headers-env", TELEMETRY, from.key_env, .min = 1, .max = 128,
               .doc = "The environment variable that holds headers for the collector, as "
                      "NAME=VALUE,NAME=VALUE. OTEL_EXPORTER_OTLP_HEADERS, if that is set, when no "
                      "source is named."),
    KEY_STRING("headers-file", TELEMETRY, from.key_file, .min = 1, .max = 4095,
               .doc = "The file that holds them, readable by its owner alone."),
    KEY_STRING("headers-credential", TELEMETRY, from.key_credential, .min = 1, .max = 255,
               .doc = "The systemd credential that holds them."),
    KEY_STRING("service", TELEMETRY, out.service, .min = 1, .max = 128,
               .doc = "What the gateway is called there; the value of OTEL_SERVICE_NAME when absent, "
                      "else turnpike."),
    KEY_DECIMAL("sample", TELEMETRY, out.sample_u, .max = CONF_MICRO, .def = "1",
                .doc = "The share of calls that are traced, of those that come without a trace of "
                       "their own; with one, the caller has decided."),
    KEY_DURATION("interval", TELEMETRY, out.interval_ms, .min = 100, .max = HOUR, .def = "5s",
                 .doc = "How long spans wait for others to be sent with."),
    KEY_DURATION("metrics-interval", TELEMETRY, out.metrics_ms, .min = 0, .max = HOUR,
                 .def = "60s", .doc = "How often metrics are sent; 0s is never."),
    KEY_DURATION("timeout", TELEMETRY, out.timeout_ms, .min = 100, .max = 10 * MINUTE,
                 .def = "10s", .doc = "How long the collector may take to answer."),
    KEY_UINT("queue", TELEMETRY, out.queue_count, .min = 64, .max = 262144, .def = "8192",
             .doc = "Calls whose spans may wait while the collector does not take them; what "
                    "comes beyond is dropped, and counted."),
    KEY_STRING("ca-file", TELEMETRY, ca_file, .min = 0, .max = 4095, .def = "",
               .doc = "Certificate authorities to trust instead of the system's, in PEM."),
};

const struct conf_section conf_sections[CONF_SECTION_COUNT] = {
    [CONF_S_UPSTREAM] = {"upstream", true, CONF_NONE, upstream_keys, COUNT_OF(upstream_keys),
                         "One way to reach a provider."},
    [CONF_S_CREDENTIAL] = {"credential", true, CONF_S_UPSTREAM, credential_keys,
                           COUNT_OF(credential_keys),
                           "One of several keys for the same upstream, with limits of its own."},
    [CONF_S_MODEL] = {"model", true, CONF_NONE, model_keys, COUNT_OF(model_keys),
                      "A name that callers ask for, and its list prices."},
    [CONF_S_TIER] = {"tier", true, CONF_S_MODEL, tier_keys, COUNT_OF(tier_keys),
                     "Other prices of its model for calls with a large context."},
    [CONF_S_SERVICE] = {"service", true, CONF_S_MODEL, service_keys, COUNT_OF(service_keys),
                        "Other prices of its model for a service tier of the provider's."},
    [CONF_S_DISCOUNT] = {"discount", true, CONF_S_MODEL, discount_keys, COUNT_OF(discount_keys),
                         "Other prices of its model for some hours of the day."},
    [CONF_S_CHANNEL] = {"channel", true, CONF_NONE, channel_keys, COUNT_OF(channel_keys),
                        "A service tier: upstreams and what they cost."},
    [CONF_S_AUTO] = {"auto", true, CONF_NONE, auto_keys, COUNT_OF(auto_keys),
                     "A model name that chooses the model for the caller."},
    [CONF_S_RULE] = {"rule", true, CONF_NONE, rule_keys, COUNT_OF(rule_keys),
                     "Where calls of some kind go."},
    [CONF_S_LIMITS] = {"limits", false, CONF_NONE, limits_keys, COUNT_OF(limits_keys),
                       "What one client or upstream may take."},
    [CONF_S_LOG] = {"log", false, CONF_NONE, log_keys, COUNT_OF(log_keys),
                    "Which calls are told of in the log."},
    [CONF_S_TELEMETRY] = {"telemetry", false, CONF_NONE, telemetry_keys, COUNT_OF(telemetry_keys),
                          "A collector of OpenTelemetry's traces and metrics."},
    [CONF_S_RETENTION] = {"retention", false, CONF_NONE, retention_keys, COUNT_OF(retention_keys),
                          "How long records of calls are kept."},
    [CONF_S_METRICS] = {"metrics", false, CONF_NONE, metrics_keys, COUNT_OF(metrics_keys),
                        "What is measured of calls."},
    [CONF_S_MANAGE] = {"manage", false, CONF_NONE, conf_manage_keys, CONF_MANAGE_KEYS,
                       "Who may register, and what holds for those who sign in."},
    [CONF_S_TOPUP] = {"topup", false, CONF_NONE, conf_topup_keys, CONF_TOPUP_KEYS,
                      "What credit costs: without it nothing is sold."},
    [CONF_S_MAIL] = {"mail", false, CONF_NONE, conf_mail_keys, CONF_MAIL_KEYS,
                     "How mail is sent."},
    [CONF_S_TURNSTILE] = {"turnstile", false, CONF_NONE, conf_turnstile_keys, CONF_TURNSTILE_KEYS,
                          "Cloudflare Turnstile, which tells people from programs."},
    [CONF_S_OIDC] = {"oidc", true, CONF_NONE, conf_oidc_keys, CONF_OIDC_KEYS,
                     "A provider of OpenID Connect that people may sign in with."},
    [CONF_S_WEBHOOKS] = {"webhooks", false, CONF_NONE, conf_webhooks_keys, CONF_WEBHOOKS_KEYS,
                         "Where tenants' webhooks may go."},
};

const struct conf_key *
conf_key_find(const struct conf_section *section, struct str name)
{
    for (size_t i = 0; i < section->key_count; i++)
        if (str_eq(str_from(section->keys[i].name), name))
            return &section->keys[i];
    return NULL;
}

int
conf_section_find(int parent, struct str name)
{
    for (int kind = 0; kind < CONF_SECTION_COUNT; kind++)
        if (conf_sections[kind].parent == parent &&
            str_eq(str_from(conf_sections[kind].name), name))
            return kind;
    return CONF_NONE;
}
