#include "pay/pay.h"

const char *const pay_verdict_name[PAY_VERDICT_COUNT] = {
    "good", "unsigned", "bad-signature", "unknown-signer", "stale", "malformed",
};

const char *const pay_event_name[PAY_EVENT_COUNT] = {
    "other",   "paid",     "pending",       "partly",   "failed",
    "expired", "refunded", "refund-failed", "disputed", "dispute-closed",
};
