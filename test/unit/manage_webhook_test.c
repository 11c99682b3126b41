/* The signature of an event, against what another program computes. */
#include "manage/webhook_sign.h"

#include "base/str.h"
#include "test/unit/testing.h"

static void
signature(void **state)
{
    char out[WEBHOOK_HEADER_MAX];

    (void)state;
    /* printf '%s' '1795230245.{"a":1}' | openssl dgst -sha256 -hmac whsec_0123 */
    webhook_sign(STR("whsec_0123"), STR_NONE, 1795230245, STR("{\"a\":1}"), out);
    assert_string_equal(out, "turnpike-signature: t=1795230245,v1=e5fb4aa22850b115abe5700d5c4ff26719078e19127ab0634d5975153f527c3c");
    webhook_sign(STR("whsec_0123"), STR("whsec_old"), 1795230245, STR("{\"a\":1}"), out);
    assert_string_equal(out, "turnpike-signature: t=1795230245,v1=e5fb4aa22850b115abe5700d5c4ff26719078e19127ab0634d5975153f527c3c,v1=6905fd87891c3628c5f201b3d6acadb812fdfba286f0d78f6c896bd082f442b5");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(signature)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
