/*
 * WeChat Pay, API v3: requests are signed by the merchant's key, answers and notices by WeChat Pay's, and what a
 * notice says is sealed by the merchant's APIv3 key. https://pay.weixin.qq.com/doc/v3/merchant/4012365342
 */
#ifndef PAY_WECHAT_H
#define PAY_WECHAT_H

#include "base/arena.h"
#include "base/buf.h"
#include "pay/pay.h"
#include "pay/sign.h"

/* Who asks. nonce: of each request another, letters and digits. */
struct wechat_merchant {
    struct str mchid, serial; /* of the merchant's certificate */
    struct pay_rsa *key;
};
struct wechat_request {
    struct str method, path; /* with its query */
    struct str body;         /* "" of a GET */
    struct str nonce;
    int64_t time_s;
};
/* The value of the header Authorization. False: memory is short. */
bool wechat_authorization(const struct wechat_merchant *merchant, const struct wechat_request *request,
                          struct buf *out) MUST_CHECK;

/* WeChat Pay's keys, by the serial that it names them with: "PUB_KEY_ID_…", or a platform certificate's. */
struct wechat_signer {
    struct str serial;
    struct pay_rsa *key;
};
/* Of a notice, or an answer to us. */
struct wechat_signed {
    struct str serial, timestamp, nonce, signature; /* Wechatpay-Serial and so on; "" or STR_NONE: not there */
    struct str body;
};
/* A probe (a signature "WECHATPAY/SIGNTEST/…") is PAY_BAD_SIGNATURE, as it is meant to be. */
enum pay_verdict wechat_verify(const struct wechat_signer *signers, size_t signer_count,
                               const struct wechat_signed *message, int64_t now_s) MUST_CHECK;

/*
 * What a verified notice says, opened with the APIv3 key of 32 bytes: PAY_BAD_SIGNATURE when it does not open. Amounts
 * are what was asked for, in hundredths; account is the merchant, app the application. Of a refund order_id is the
 * order's, payment_id the transaction's.
 */
enum pay_verdict wechat_read(struct str body, struct str api_key, struct arena *arena,
                             struct pay_notice *out) MUST_CHECK;

#endif
