#include "shm/record.h"

_Static_assert(sizeof(struct record_attempt) == 20, "layout");

const char *const record_class_name[] = {
    [RECORD_INPUT] = "input",
    [RECORD_CACHE_READ] = "cache-read",
    [RECORD_CACHE_WRITE_5M] = "cache-write",
    [RECORD_CACHE_WRITE_1H] = "cache-write-1h",
    [RECORD_AUDIO_INPUT] = "audio-input",
    [RECORD_IMAGE_INPUT] = "image-input",
    [RECORD_OUTPUT] = "output",
    [RECORD_REASONING] = "reasoning",
    [RECORD_AUDIO_OUTPUT] = "audio-output",
    [RECORD_IMAGE_OUTPUT] = "image-output",
    [RECORD_IMAGES] = "per-image",
    [RECORD_SECONDS] = "per-second",
    [RECORD_CHARACTERS] = "per-million-characters",
    [RECORD_REQUESTS] = "per-request",
    [RECORD_SEARCHES] = "per-search",
};
_Static_assert(COUNT_OF(record_class_name) == RECORD_CLASS_COUNT, "a new class needs a name");

const char *const record_basis_name[] = {
    [BASIS_NOTHING] = "nothing", [BASIS_USAGE] = "usage", [BASIS_PROGRESS] = "progress",
    [BASIS_HOLD] = "hold",       [BASIS_SWEPT] = "swept",
};
_Static_assert(COUNT_OF(record_basis_name) == BASIS_COUNT, "a new basis needs a name");

const char *const record_outcome_name[] = {
    [OUTCOME_UNKNOWN] = "unknown",
    [OUTCOME_OK] = "ok",
    [OUTCOME_NO_USAGE] = "no-usage",
    [OUTCOME_CLIENT_GONE] = "client-gone",
    [OUTCOME_CUT] = "cut",
    [OUTCOME_UPSTREAM_ERROR] = "upstream-error",
    [OUTCOME_HOLD_ENDED] = "hold-ended",
    [OUTCOME_CANCELLED] = "cancelled",
};
_Static_assert(COUNT_OF(record_outcome_name) == OUTCOME_COUNT, "a new outcome needs a name");

const char *const record_reason_name[] = {
    [REASON_NONE] = "none",
    [REASON_CONNECT] = "connect",
    [REASON_DNS] = "dns",
    [REASON_ADDRESS] = "address",
    [REASON_TLS] = "tls",
    [REASON_RESET] = "reset",
    [REASON_TIMEOUT_CONNECT] = "timeout-connect",
    [REASON_TIMEOUT_FIRST_BYTE] = "timeout-first-byte",
    [REASON_TIMEOUT_IDLE] = "timeout-idle",
    [REASON_TIMEOUT_TOTAL] = "timeout-total",
    [REASON_STATUS] = "status",
    [REASON_BAD_HTTP] = "bad-http",
    [REASON_BAD_ANSWER] = "bad-answer",
    [REASON_TOO_LARGE] = "too-large",
    [REASON_EARLY_END] = "early-end",
    [REASON_ERROR_EVENT] = "error-event",
    [REASON_CLIENT_GONE] = "client-gone",
    [REASON_NO_CONNECTION] = "no-connection",
    [REASON_EMPTY] = "empty-answer",
    [REASON_MODEL_MISMATCH] = "model-mismatch",
    [REASON_AT_LIMIT] = "at-limit",
};
_Static_assert(COUNT_OF(record_reason_name) == REASON_COUNT, "a new reason needs a name");
