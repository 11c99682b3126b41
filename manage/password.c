#include "manage/password.h"

#include "base/str.h"

#include <errno.h>
#include <sodium.h>
#include <string.h>

_Static_assert(PASSWORD_HASH_LEN_MAX == crypto_pwhash_STRBYTES, "libsodium's strings");

/* OWASP asks for at least 19 MiB and two passes; a thread of ours takes about 100 ms for this. */
const struct password_cost password_cost_now = {.ops = 3, .bytes = (size_t)64 << 20};

const char *const password_fault_text[] = {
    [PASSWORD_OK] = "",
    [PASSWORD_SHORT] = "The password must have at least 10 characters.",
    [PASSWORD_LONG] = "The password must have at most 256 bytes.",
    [PASSWORD_COMMON] = "The password is among those that are guessed first.",
    [PASSWORD_SIMILAR] = "The password is too much like your name or address.",
};
_Static_assert(COUNT_OF(password_fault_text) == PASSWORD_FAULT_COUNT, "a new fault needs a text");

const char *const password_fault_code[] = {
    [PASSWORD_OK] = "",
    [PASSWORD_SHORT] = "password_short",
    [PASSWORD_LONG] = "password_long",
    [PASSWORD_COMMON] = "password_common",
    [PASSWORD_SIMILAR] = "password_similar",
};
_Static_assert(COUNT_OF(password_fault_code) == PASSWORD_FAULT_COUNT, "a new fault needs a code");

/* What such passwords are made of: one of these with digits and signs around it. The lists that attackers
 * begin with are these over and over. In lower case, with the usual signs taken for letters. */
static const char *const common[] = {
    "password",  "passwort",   "passw0rd",  "qwertyuiop", "qwerty",    "asdfghjkl", "asdfgh",    "zxcvbnm",
    "iloveyou",  "letmein",    "welcome",   "admin",      "administrator", "root",  "login",     "princess",
    "sunshine",  "football",   "baseball",  "superman",   "batman",    "monkey",    "dragon",    "master",
    "shadow",    "michael",    "jordan",    "trustnoone", "starwars",  "computer",  "internet",  "whatever",
    "freedom",   "secret",     "changeme",  "default",    "temporary", "temp",      "test",      "testing",
    "guest",     "user",       "abcdef",    "abcdefgh",   "abcdefghij", "abc",      "qazwsx",    "qazwsxedc",
    "onetwothree", "woaini",   "wangyut",   "aabbcc",     "summer",    "winter",    "spring",    "autumn",
    "company",   "turnpike",   "openai",    "claude",     "chatgpt",   "hunter",    "correcthorsebatterystaple",
};

/* Bytes that are not the second or later of a character. */
static size_t
characters(struct str s)
{
    size_t count = 0;

    for (size_t i = 0; i < s.len; i++)
        count += ((uint8_t)s.ptr[i] & 0xc0) != 0x80;
    return count;
}

static char
lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + 'a' - 'A') : c;
}

static char
plain(char c)
{
    switch (c) {
    case '0': return 'o';
    case '1': case '!': return 'i';
    case '3': return 'e';
    case '4': case '@': return 'a';
    case '5': case '$': return 's';
    case '7': return 't';
    default: return lower(c);
    }
}

static bool
is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (uint8_t)c >= 0x80;
}

/* The letters in lower case; with `taken`, signs and digits that stand for letters as those. */
static size_t
letters_of(struct str s, bool taken, char *out, size_t cap)
{
    size_t len = 0;

    for (size_t i = 0; i < s.len && len + 1 < cap; i++) {
        char c = taken ? plain(s.ptr[i]) : lower(s.ptr[i]);

        if (is_letter(c))
            out[len++] = c;
    }
    out[len] = '\0';
    return len;
}

static bool
among_common(struct str letters)
{
    for (size_t i = 0; i < COUNT_OF(common); i++)
        if (str_eq(letters, str_from(common[i])))
            return true;
    return false;
}

/* All one step from the one before (or none): "aaaaaaaaaa", "1234567890", "9876543210". */
static bool
is_run(struct str s)
{
    for (int step = -1; step <= 1; step++) {
        size_t i = 1;

        while (i < s.len && (s.ptr[i] - s.ptr[i - 1] == step ||
                             (s.ptr[i - 1] == '9' && s.ptr[i] == '0' && step == 1)))
            i++;
        if (i >= s.len)
            return true;
    }
    return false;
}

/* One short piece over and over. */
static bool
is_repeated(struct str s)
{
    for (size_t n = 2; n <= 4 && n * 2 <= s.len; n++) {
        size_t i = n;

        while (i < s.len && s.ptr[i] == s.ptr[i - n])
            i++;
        if (i == s.len)
            return true;
    }
    return false;
}

/* Without the digits and signs around it: they stand for no letters there. */
static struct str
core_of(struct str s)
{
    while (s.len > 0 && !is_letter(lower(s.ptr[s.len - 1])))
        s.len--;
    while (s.len > 0 && !is_letter(lower(s.ptr[0]))) {
        s.ptr++;
        s.len--;
    }
    return s;
}

static bool
is_common(struct str password)
{
    char letters[PASSWORD_LEN_MAX + 1];
    size_t len = letters_of(password, false, letters, sizeof(letters));

    /* Digits alone are a date, or a telephone's number. */
    if (is_run(password) || is_repeated(password) || (len == 0 && password.len < 16))
        return true;
    if (among_common((struct str){letters, len}))
        return true;
    len = letters_of(core_of(password), true, letters, sizeof(letters));
    return among_common((struct str){letters, len});
}

/* Whether the one is in the other, with less than five characters beside it. */
static bool
is_like(struct str password, struct str other)
{
    char a[PASSWORD_LEN_MAX + 1], b[PASSWORD_LEN_MAX + 1];
    struct str x = {a, 0}, y = {b, 0};

    if (other.len < 3 || other.len > PASSWORD_LEN_MAX)
        return false;
    for (x.len = 0; x.len < password.len; x.len++)
        a[x.len] = lower(password.ptr[x.len]);
    for (y.len = 0; y.len < other.len; y.len++)
        b[y.len] = lower(other.ptr[y.len]);
    return str_contains(y, x) || (str_contains(x, y) && x.len - y.len < 5);
}

enum password_fault
password_check(struct str password, struct str email, struct str other)
{
    struct str domain, name = str_split(email, '@', &domain);

    if (password.len > PASSWORD_LEN_MAX)
        return PASSWORD_LONG;
    if (characters(password) < PASSWORD_LEN_MIN)
        return PASSWORD_SHORT;
    if (is_common(password))
        return PASSWORD_COMMON;
    if (is_like(password, email) || is_like(password, name) || is_like(password, domain) ||
        is_like(password, other))
        return PASSWORD_SIMILAR;
    return PASSWORD_OK;
}

int
password_hash(struct str password, const struct password_cost *cost, char out[PASSWORD_HASH_LEN_MAX])
{
    int rc = crypto_pwhash_str_alg(out, password.ptr, password.len, cost->ops, cost->bytes,
                                   crypto_pwhash_ALG_ARGON2ID13);

    return rc == 0 ? 0 : -ENOMEM;
}

bool
password_matches(struct str password, struct str hash, const struct password_cost *cost, bool *again)
{
    char text[PASSWORD_HASH_LEN_MAX] = "";
    bool matches;

    *again = false;
    if (hash.len == 0 || hash.len >= sizeof(text)) {
        /* As dear as a comparison is, and with its answer of no use. */
        if (password_hash(password, cost, text) == 0)
            explicit_bzero(text, sizeof(text));
        return false;
    }
    memcpy(text, hash.ptr, hash.len);
    matches = crypto_pwhash_str_verify(text, password.ptr, password.len) == 0;
    *again = matches && crypto_pwhash_str_needs_rehash(text, cost->ops, cost->bytes) != 0;
    return matches;
}
