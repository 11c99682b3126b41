/*
 * Alipay's open platform, with keys and no certificates (sign_type RSA2): parameters that we sign, the notices that
 * it sends, and its answers. https://opendocs.alipay.com/common/02kf5q
 */
#ifndef PAY_ALIPAY_H
#define PAY_ALIPAY_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/js.h"
#include "pay/pay.h"
#include "pay/sign.h"

#define ALIPAY_FIELDS_MAX 64

struct alipay_field {
    struct str name, value;
};
struct alipay_fields {
    struct alipay_field at[ALIPAY_FIELDS_MAX];
    size_t count;
};

/* False when there are too many. Both texts are kept as they are. */
bool alipay_add(struct alipay_fields *fields, struct str name, struct str value) MUST_CHECK;
/* STR_NONE when it is not there. */
struct str alipay_get(const struct alipay_fields *fields, struct str name);

/* What is signed: all but "sign" (and for a notice but "sign_type"), none that is empty, by the bytes of their
 * names, name=value joined by "&", nothing encoded. */
bool alipay_string(const struct alipay_fields *fields, bool notice, struct buf *out) MUST_CHECK;
/* The query of a request, encoded, with its signature. False: too many fields, or memory is short. */
bool alipay_query(struct alipay_fields *fields, struct pay_rsa *key, struct arena *arena,
                  struct buf *out) MUST_CHECK;

/* A notice's body, a form. False when it is none, or says a name twice. Texts are in the arena. */
bool alipay_form(struct str body, struct arena *arena, struct alipay_fields *out) MUST_CHECK;
enum pay_verdict alipay_verify(struct pay_rsa *theirs, const struct alipay_fields *fields) MUST_CHECK;
/*
 * What a verified notice says; account is the seller, app the application. The trade number is payment_id. One that
 * tells of money that went back is PAY_REFUNDED though it says that the trade succeeded.
 */
enum pay_verdict alipay_read(const struct alipay_fields *fields, struct pay_notice *out) MUST_CHECK;

/*
 * An answer of the gateway: the member named after the method is what is signed, by its very bytes in the text.
 * PAY_UNSIGNED also where an error comes without a signature; *answer is what it says, then as well.
 */
enum pay_verdict alipay_answer(struct pay_rsa *theirs, struct str method, struct str body,
                               struct js_value *answer) MUST_CHECK;

#endif
