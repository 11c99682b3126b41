/* What the providers' files share to read with. */
#ifndef PAY_READ_H
#define PAY_READ_H

#include "base/arena.h"
#include "base/js.h"
#include "pay/pay.h"

/* A member that is a string, unescaped; "" when it is not there, is no string, or memory is short. */
struct str pay_text(struct js_value object, const char *name, struct arena *arena);
/* ASCII letters made upper-case; "" when memory is short. */
struct str pay_upper(struct str text, struct arena *arena);
/* Decimal seconds since 1970 that are no further than PAY_FRESH_S from now. */
bool pay_is_fresh(struct str seconds, int64_t now_s) MUST_CHECK;
/* "10.00" and "10" as 1000: at most two decimals, no sign. */
bool pay_cents(struct str text, int64_t *out) MUST_CHECK;

#endif
