/* ID tokens: RFC 7515's examples A.2 and A.3, everything that is to be refused, and what is believed of claims. */
#include "manage/jwt.h"
#include "manage/oidc.h"
#include "manage/form.h"
#include "manage/turnstile.h"

#include "base/str.h"
#include "test/unit/testing.h"

#define N                                                                                          \
    "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4" \
    "d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5re" \
    "xMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxX" \
    "FvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"
#define PAYLOAD                                                                                    \
    "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVl" \
    "fQ"
#define RS256_HEAD "eyJhbGciOiJSUzI1NiJ9"
#define RS256_SIGNATURE                                                                            \
    "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5" \
    "jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb" \
    "1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QO" \
    "YEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw"
#define RS256_TOKEN RS256_HEAD "." PAYLOAD "." RS256_SIGNATURE
#define ES256_HEAD "eyJhbGciOiJFUzI1NiJ9"
#define ES256_SIGNATURE                                                                            \
    "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"
#define ES256_TOKEN ES256_HEAD "." PAYLOAD "." ES256_SIGNATURE
#define RSA(more) "{\"kty\":\"RSA\",\"n\":\"" N "\",\"e\":\"AQAB\"" more "}"
#define X "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"
#define Y "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"
#define EC(more) "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"" X "\",\"y\":\"" Y "\"" more "}"
#define SET(keys) "{\"keys\":[" keys "]}"

static struct arena arena;

static struct js_value
object(const char *text)
{
    struct js_value value;
    struct js_error err;

    assert_true(js_check(str_from(text), &value, &err));
    return value;
}

static enum jwt_result
verify(const char *token, const char *keys)
{
    struct js_value claims;

    return jwt_verify(str_from(token), object(keys), &arena, &claims);
}

static void
examples(void **state)
{
    struct js_value claims;

    (void)state;
    assert_int_equal(verify(RS256_TOKEN, SET(RSA(""))), JWT_OK);
    assert_int_equal(verify(ES256_TOKEN, SET(EC(""))), JWT_OK);
    /* The right one of several, whatever else is there. */
    assert_int_equal(verify(ES256_TOKEN, SET(RSA("") ",7,{\"kty\":\"oct\",\"k\":\"AA\"}," EC(""))), JWT_OK);
    assert_int_equal(jwt_verify(STR(RS256_TOKEN), object(SET(RSA(",\"alg\":\"RS256\",\"use\":\"sig\""))), &arena,
                                &claims),
                     JWT_OK);
    assert_true(js_str_eq(js_get(claims, STR("iss")), STR("joe")));
}

static void
refused(void **state)
{
    static const struct {
        const char *token, *keys;
        enum jwt_result want;
    } cases[] = {
        {"", SET(RSA("")), JWT_MALFORMED},
        {"a.b", SET(RSA("")), JWT_MALFORMED},
        {RS256_HEAD "." PAYLOAD ".", SET(RSA("")), JWT_MALFORMED},
        {RS256_HEAD "." PAYLOAD "." RS256_SIGNATURE "." RS256_SIGNATURE, SET(RSA("")), JWT_MALFORMED},
        {RS256_HEAD "." PAYLOAD "." RS256_SIGNATURE "=", SET(RSA("")), JWT_MALFORMED},
        {RS256_TOKEN, SET(""), JWT_NO_KEY},
        {RS256_TOKEN, "{}", JWT_NO_KEY},
        {RS256_TOKEN, SET(EC("")), JWT_NO_KEY},
        {RS256_TOKEN, SET(RSA(",\"use\":\"enc\"")), JWT_NO_KEY},
        {RS256_TOKEN, SET(RSA(",\"alg\":\"RS512\"")), JWT_NO_KEY},
        {RS256_TOKEN, SET(RSA(",\"kid\":\"other\"")), JWT_OK}, /* the token names none */
        /* Another's signature, and one over something else. */
        {RS256_HEAD "." PAYLOAD "." ES256_SIGNATURE, SET(RSA("")), JWT_SIGNATURE},
        {ES256_HEAD "." PAYLOAD "." RS256_SIGNATURE, SET(EC("")), JWT_SIGNATURE},
        {ES256_HEAD "." PAYLOAD "."
                    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
         SET(EC("")), JWT_SIGNATURE},
        {RS256_HEAD ".eyJpc3MiOiJqb2UifQ." RS256_SIGNATURE, SET(RSA("")), JWT_SIGNATURE},
        /* {"alg":"none"}, {"alg":"HS256"}, {"alg":"rs256"}, no alg */
        {"eyJhbGciOiJub25lIn0." PAYLOAD ".AA", SET(RSA("")), JWT_ALGORITHM},
        {"eyJhbGciOiJIUzI1NiJ9." PAYLOAD ".AA", SET(RSA("")), JWT_ALGORITHM},
        {"eyJhbGciOiJyczI1NiJ9." PAYLOAD ".AA", SET(RSA("")), JWT_ALGORITHM},
        {"e30." PAYLOAD ".AA", SET(RSA("")), JWT_ALGORITHM},
        /* {"alg":"RS256","crit":["x"]}; {"alg":"RS256","kid":"k1"} */
        {"eyJhbGciOiJSUzI1NiIsImNyaXQiOlsieCJdfQ." PAYLOAD "." RS256_SIGNATURE, SET(RSA("")), JWT_MALFORMED},
        {"eyJhbGciOiJSUzI1NiIsImtpZCI6ImsxIn0." PAYLOAD "." RS256_SIGNATURE, SET(RSA("")), JWT_NO_KEY},
        {"eyJhbGciOiJSUzI1NiIsImtpZCI6ImsxIn0." PAYLOAD "." RS256_SIGNATURE, SET(RSA(",\"kid\":\"k1\"")),
         JWT_SIGNATURE},
        /* Keys that are none: too short, off the curve, too long a number. */
        {RS256_TOKEN, SET("{\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQAB\"}"), JWT_SIGNATURE},
        {ES256_TOKEN, SET("{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"" X "\",\"y\":\"" X "\"}"), JWT_SIGNATURE},
        {ES256_TOKEN, SET("{\"kty\":\"EC\",\"crv\":\"P-384\",\"x\":\"" X "\",\"y\":\"" Y "\"}"), JWT_SIGNATURE},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        if (verify(cases[i].token, cases[i].keys) != cases[i].want)
            print_error("case %zu\n", i);
        assert_int_equal(verify(cases[i].token, cases[i].keys), cases[i].want);
    }
}

/* No byte of a token can be another. */
static void
tampered(void **state)
{
    static const char *const tokens[] = {RS256_TOKEN, ES256_TOKEN};

    (void)state;
    for (size_t t = 0; t < COUNT_OF(tokens); t++) {
        char token[1024];
        size_t len = strlen(tokens[t]);

        for (size_t i = 0; i < len; i++) {
            memcpy(token, tokens[t], len + 1);
            token[i] = token[i] == 'A' ? 'B' : 'A';
            assert_int_not_equal(verify(token, SET(RSA("") "," EC(""))), JWT_OK);
            token[i] = '\0';
            assert_int_not_equal(verify(token, SET(RSA("") "," EC(""))), JWT_OK);
        }
        arena_end(&arena);
        arena_init(&arena, 64u << 20);
    }
}

static enum jwt_result
check(const char *claims)
{
    struct jwt_wanted wanted = {STR("https://id.example/"), STR("tp"), STR("n0nce"), 1000000};

    return jwt_check(object(claims), &wanted);
}

#define CLAIMS(iss, aud, exp, iat, more)                                                           \
    "{\"iss\":\"" iss "\",\"aud\":" aud ",\"exp\":" exp ",\"iat\":" iat ",\"nonce\":\"n0nce\","      \
    "\"sub\":\"s\"" more "}"
#define ISS "https://id.example/"

static void
claims(void **state)
{
    (void)state;
    assert_int_equal(check(CLAIMS(ISS, "\"tp\"", "1000001", "1000000", "")), JWT_OK);
    assert_int_equal(check(CLAIMS(ISS, "[\"tp\"]", "1000001", "1000000", "")), JWT_OK);
    assert_int_equal(check(CLAIMS(ISS, "[\"x\",\"tp\"]", "1000001", "1000000", ",\"azp\":\"tp\"")), JWT_OK);
    assert_int_equal(check(CLAIMS(ISS, "[\"x\",\"tp\"]", "1000001", "1000000", "")), JWT_AUDIENCE);
    assert_int_equal(check(CLAIMS(ISS, "\"tp\"", "1000001", "1000000", ",\"azp\":\"x\"")), JWT_AUDIENCE);
    assert_int_equal(check(CLAIMS(ISS, "[]", "1000001", "1000000", "")), JWT_AUDIENCE);
    assert_int_equal(check(CLAIMS(ISS, "7", "1000001", "1000000", "")), JWT_AUDIENCE);
    assert_int_equal(check(CLAIMS("https://id.example", "\"tp\"", "1000001", "1", "")), JWT_ISSUER);
    /* A skew of 120 s, no more. */
    assert_int_equal(check(CLAIMS(ISS, "\"tp\"", "999881", "1000120", "")), JWT_OK);
    assert_int_equal(check(CLAIMS(ISS, "\"tp\"", "999881.5", "1000000.25", "")), JWT_OK);
    assert_int_equal(check(CLAIMS(ISS, "\"tp\"", "999880", "999000", "")), JWT_EXPIRED);
    assert_int_equal(check(CLAIMS(ISS, "\"tp\"", "-1", "999000", "")), JWT_EXPIRED);
    assert_int_equal(check(CLAIMS(ISS, "\"tp\"", "\"2000000\"", "999000", "")), JWT_EXPIRED);
    assert_int_equal(check(CLAIMS(ISS, "\"tp\"", "1e9", "999000", "")), JWT_EXPIRED);
    assert_int_equal(check(CLAIMS(ISS, "\"tp\"", "1000001", "1000121", "")), JWT_EARLY);
    assert_int_equal(check(CLAIMS(ISS, "\"tp\"", "1000001", "1", ",\"nbf\":1000121")), JWT_EARLY);
    assert_int_equal(check("{\"iss\":\"" ISS "\",\"aud\":\"tp\",\"exp\":1000001,\"iat\":1,\"sub\":\"s\"}"),
                     JWT_NONCE);
    assert_int_equal(check("{\"iss\":\"" ISS "\",\"aud\":\"tp\",\"exp\":1000001,\"iat\":1,\"sub\":\"s\","
                           "\"nonce\":\"n0ncf\"}"),
                     JWT_NONCE);
    assert_int_equal(check("{\"iss\":\"" ISS "\",\"aud\":\"tp\",\"exp\":1000001,\"iat\":1,\"nonce\":\"n0nce\"}"),
                     JWT_SUBJECT);
}

static void
persons(void **state)
{
    struct str domains[] = {STR("corp.example")};
    struct conf_oidc conf = {.on = true};
    struct oidc_person person;
    char why[128];

    (void)state;
    assert_int_equal(oidc_person_of(&conf, object("{\"sub\":\"a\\u0041\",\"email\":\"a@b.c\","
                                                  "\"email_verified\":true,\"name\":\"\\u5f20\"}"),
                                    &arena, &person, why, sizeof(why)),
                     0);
    assert_str(person.subject, "aA");
    assert_str(person.email, "a@b.c");
    assert_str(person.name, "\xe5\xbc\xa0");
    assert_int_equal(oidc_person_of(&conf, object("{\"sub\":\"a\",\"email\":\"a@b.c\"}"), &arena, &person, why,
                                    sizeof(why)),
                     0);
    assert_null(person.email.ptr);
    conf.domains = (struct conf_strs){domains, 1};
    assert_int_equal(oidc_person_of(&conf, object("{\"sub\":\"a\",\"email\":\"a@corp.example\"}"), &arena, &person,
                                    why, sizeof(why)),
                     -1 /* EPERM: nobody has verified it */);
    conf.unverified = true;
    assert_int_equal(oidc_person_of(&conf, object("{\"sub\":\"a\",\"email\":\"a@CORP.example\"}"), &arena, &person,
                                    why, sizeof(why)),
                     0);
    assert_str(person.email, "a@CORP.example");
    assert_int_equal(oidc_person_of(&conf, object("{\"sub\":\"a\",\"email\":\"a@corp.example.evil.example\"}"),
                                    &arena, &person, why, sizeof(why)),
                     -1);
    assert_int_equal(oidc_person_of(&conf, object("{\"sub\":\"a\",\"email\":\"a@corp.example\\r\\nX\"}"), &arena,
                                    &person, why, sizeof(why)),
                     -1);
}

static void
forms(void **state)
{
    struct buf out;

    (void)state;
    buf_init(&out, 4096);
    form_add(&out, "a", STR("x y&=+%/~-._"));
    form_add(&out, "b", STR("\xe4\xb8\xad"));
    assert_str(buf_str(&out), "a=x%20y%26%3D%2B%25%2F~-._&b=%E4%B8%AD");
    buf_free(&out);
}

static void
turnstile(void **state)
{
    static const struct {
        unsigned status;
        const char *answer;
        enum turnstile_result want;
    } cases[] = {
        {200, "{\"success\":true,\"hostname\":\"a.example\"}", TURNSTILE_PASSED},
        {200, "{\"success\":true,\"hostname\":\"b.example\"}", TURNSTILE_FAILED},
        {200, "{\"success\":true}", TURNSTILE_FAILED},
        {200, "{\"success\":\"true\",\"hostname\":\"a.example\"}", TURNSTILE_AWAY},
        {500, "{\"success\":true,\"hostname\":\"a.example\"}", TURNSTILE_AWAY},
        {200, "{\"success\":false,\"error-codes\":[\"invalid-input-response\"]}", TURNSTILE_FAILED},
        {200, "{\"success\":false,\"error-codes\":[\"timeout-or-duplicate\"]}", TURNSTILE_FAILED},
        {200, "{\"success\":false,\"error-codes\":[\"invalid-input-secret\"]}", TURNSTILE_AWAY},
        {200, "{\"success\":false,\"error-codes\":[\"internal-error\"]}", TURNSTILE_AWAY},
        {502, "<html>", TURNSTILE_AWAY},
        {200, "[]", TURNSTILE_AWAY},
        {200, "", TURNSTILE_AWAY},
    };
    struct str host[] = {STR("a.example")};
    struct conf_turnstile conf = {.on = true, .hostnames = {host, 1}};
    char why[128];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        assert_int_equal(turnstile_judge(&conf, cases[i].status, str_from(cases[i].answer), why, sizeof(why)),
                         cases[i].want);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(examples), cmocka_unit_test(refused), cmocka_unit_test(tampered),
        cmocka_unit_test(claims),   cmocka_unit_test(persons), cmocka_unit_test(forms),
        cmocka_unit_test(turnstile),
    };
    int failed;

    arena_init(&arena, 64u << 20);
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    arena_end(&arena);
    return failed;
}
