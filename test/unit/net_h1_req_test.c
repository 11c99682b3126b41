/*
 * Requests, good and hostile, each fed whole, byte by byte and cut at each position, by a
 * caller that serves at once and by one that stashes: the verdict is exact and always the same.
 */
#include "test/unit/h1_same.h"

#include <errno.h>

#define RAW(literal)                                                                               \
    {                                                                                              \
        (literal), sizeof(literal) - 1                                                             \
    }
#define POST "POST /v1/messages HTTP/1.1\r\nHost: a\r\n"
#define GET "GET / HTTP/1.1\r\nHost: a\r\n"
#define CHUNKED POST "Transfer-Encoding: chunked\r\n\r\n"
#define NEXT "GET /next HTTP/1.1\r\nHost: a\r\n\r\n"

/* Status 0: the bytes are one good request, and nothing is left. */
struct fixture {
    const char *name;
    struct str bytes;
    unsigned status;
};

static const struct fixture fixtures[] = {
    /* What must pass. */
    {"plain get", RAW(GET "\r\n"), 0},
    {"get of 1.0", RAW("GET / HTTP/1.0\r\nHost: a\r\n\r\n"), 0},
    {"two blank lines before", RAW("\r\n\r\n" GET "\r\n"), 0},
    {"post with length", RAW(POST "Content-Length: 5\r\n\r\nhello"), 0},
    {"post without a body", RAW(POST "\r\n"), 0},
    {"length 0", RAW(POST "Content-Length: 0\r\n\r\n"), 0},
    {"length with zeros before", RAW(POST "Content-Length: 005\r\n\r\nhello"), 0},
    {"get with a body", RAW(GET "Content-Length: 2\r\n\r\nhi"), 0},
    {"chunks", RAW(CHUNKED "5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"), 0},
    {"empty chunked body", RAW(CHUNKED "0\r\n\r\n"), 0},
    {"chunk size of 16 digits", RAW(CHUNKED "0000000000000005\r\nhello\r\n0\r\n\r\n"), 0},
    {"capital hex digits", RAW(CHUNKED "A\r\n0123456789\r\n0\r\n\r\n"), 0},
    {"last chunk of many zeros", RAW(CHUNKED "5\r\nhello\r\n000\r\n\r\n"), 0},
    {"chunk extension", RAW(CHUNKED "5;a=b\r\nhello\r\n0;last\r\n\r\n"), 0},
    {"trailer", RAW(CHUNKED "5\r\nhello\r\n0\r\nx-sum: 1\r\nHos: a\r\n\r\n"), 0},
    {"options of the server", RAW("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"), 0},
    {"path and query", RAW("GET /a/b?c=d?e&f=%20 HTTP/1.1\r\nHost: a\r\n\r\n"), 0},
    {"empty query", RAW("GET /a? HTTP/1.1\r\nHost: a\r\n\r\n"), 0},
    {"host with a port", RAW("GET / HTTP/1.1\r\nHost: a.example:8080\r\n\r\n"), 0},
    {"host of ipv6", RAW("GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n"), 0},
    {"empty header value", RAW(GET "X:\r\nY: \r\n\r\n"), 0},
    {"tab within and around a value", RAW(GET "X:\ta\tb\t\r\n\r\n"), 0},
    {"value beyond ascii", RAW(GET "X: \xc3\xa4 long enough for a word\r\n\r\n"), 0},
    {"upgrade, as a plain request", RAW(GET "Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n"), 0},
    {"upgrade with a body",
     RAW(POST "Connection: upgrade\r\nUpgrade: x\r\nContent-Length: 2\r\n\r\nhi"), 0},
    {"upgrade with chunks",
     RAW(POST "Connection: upgrade\r\nUpgrade: x\r\nTransfer-Encoding: chunked\r\n\r\n"
              "2\r\nhi\r\n0\r\n\r\n"),
     0},
    {"expect", RAW(POST "Expect: 100-Continue\r\nContent-Length: 2\r\n\r\nhi"), 0},
    {"te and trailer", RAW(GET "TE: trailers\r\nTrailer: x\r\nConnection: TE, close\r\n\r\n"), 0},
    {"a method for others", RAW("PROPFIND / HTTP/1.1\r\nHost: a\r\n\r\n"), 0},

    /* Two lengths. */
    {"CL.TE", RAW(POST "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG"), 400},
    {"TE.CL", RAW(POST "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n5c\r\nG"), 400},
    {"CL twice, unequal", RAW(POST "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello"), 400},
    {"CL twice, equal", RAW(POST "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello"), 400},
    {"CL list, equal", RAW(POST "Content-Length: 5, 5\r\n\r\nhello"), 400},
    {"CL with sign", RAW(POST "Content-Length: +5\r\n\r\nhello"), 400},
    {"CL negative", RAW(POST "Content-Length: -1\r\n\r\nhello"), 400},
    {"CL in hex", RAW(POST "Content-Length: 0x5\r\n\r\nhello"), 400},
    {"CL with a fraction", RAW(POST "Content-Length: 5.0\r\n\r\nhello"), 400},
    {"CL with a blank within", RAW(POST "Content-Length: 1 0\r\n\r\nhello"), 400},
    {"CL empty", RAW(POST "Content-Length:\r\n\r\n"), 400},
    {"CL blank", RAW(POST "Content-Length:  \r\n\r\n"), 400},
    {"CL of 2^63", RAW(POST "Content-Length: 9223372036854775808\r\n\r\n"), 400},
    {"CL of 2^64", RAW(POST "Content-Length: 18446744073709551616\r\n\r\n"), 400},
    {"CL of 2^64 + 5", RAW(POST "Content-Length: 18446744073709551621\r\n\r\nhello"), 400},
    {"CL of 20 digits", RAW(POST "Content-Length: 00000000000000000005\r\n\r\nhello"), 400},
    {"CL with a vertical tab", RAW(POST "Content-Length: \v5\r\n\r\nhello"), 400},
    {"CL below 2^63", RAW(POST "Content-Length: 9223372036854775807\r\n\r\n"), 413},
    {"CL one above the limit", RAW(POST "Content-Length: 33554433\r\n\r\n"), 413},
    {"TE twice", RAW(POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"), 400},
    {"TE twice, first identity",
     RAW(POST "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n"), 400},
    {"TE chunked, chunked", RAW(POST "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n"), 400},
    {"TE xchunked", RAW(POST "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"), 400},
    {"TE chunkedx", RAW(POST "Transfer-Encoding: chunkedx\r\n\r\n0\r\n\r\n"), 400},
    {"TE chunked;q=1", RAW(POST "Transfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n"), 400},
    {"TE chunked in quotes", RAW(POST "Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n"), 400},
    {"TE gzip, chunked", RAW(POST "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"), 400},
    {"TE chunked,", RAW(POST "Transfer-Encoding: chunked,\r\n\r\n0\r\n\r\n"), 400},
    {"TE identity", RAW(POST "Transfer-Encoding: identity\r\n\r\n"), 400},
    {"TE in capitals", RAW(POST "Transfer-Encoding: Chunked\r\n\r\n0\r\n\r\n"), 400},
    {"TE with a vertical tab", RAW(POST "Transfer-Encoding: \vchunked\r\n\r\n0\r\n\r\n"), 400},
    {"TE with a form feed", RAW(POST "Transfer-Encoding: chunked\f\r\n\r\n0\r\n\r\n"), 400},
    {"TE with a NUL", RAW(POST "Transfer-Encoding: chunked\0\r\n\r\n0\r\n\r\n"), 400},
    {"TE empty", RAW(POST "Transfer-Encoding:\r\n\r\n"), 400},
    {"TE empty, and a length", RAW(POST "Transfer-Encoding:\r\nContent-Length: 0\r\n\r\n"), 400},
    {"TE with a blank before the colon", RAW(POST "Transfer-Encoding : chunked\r\n\r\n"), 400},
    {"TE behind a blank", RAW(POST " Transfer-Encoding: chunked\r\n\r\n"), 400},
    {"TE behind a bare LF", RAW(POST "X: a\nTransfer-Encoding: chunked\r\n\r\n"), 400},
    {"TE behind a bare CR", RAW(POST "X: a\rTransfer-Encoding: chunked\r\n\r\n"), 400},
    {"TE on 1.0", RAW("POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
     400},

    /* Lines. */
    {"bare LF everywhere", RAW("GET / HTTP/1.1\nHost: a\n\n"), 400},
    {"bare LF after the request line", RAW("GET / HTTP/1.1\nHost: a\r\n\r\n"), 400},
    {"bare LF at the end", RAW(GET "X: y\r\n\n"), 400},
    {"bare LF first", RAW("\n" GET "\r\n"), 400},
    {"bare CR in the request line", RAW("GET /\rb HTTP/1.1\r\nHost: a\r\n\r\n"), 400},
    {"bare CR in a name", RAW(GET "X\rY: a\r\n\r\n"), 400},
    {"bare CR in a value", RAW(GET "X: a\rb\r\n\r\n"), 400},
    {"CR CR LF", RAW(GET "X: a\r\r\n\r\n"), 400},
    {"bare CR at the end", RAW(GET "\r\rX"), 400},
    {"bare CR first", RAW("\rG"), 400},
    {"NUL in the target", RAW("GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n"), 400},
    {"NUL in a name", RAW(GET "X\0: a\r\n\r\n"), 400},
    {"NUL in a value", RAW(GET "X: a\0b and some more\r\n\r\n"), 400},
    {"control byte in a value", RAW(GET "X: a\x01\r\n\r\n"), 400},
    {"DEL in a value", RAW(GET "X: a\x7f more bytes\r\n\r\n"), 400},
    {"folded line", RAW(GET "X: a\r\n b\r\n\r\n"), 400},
    {"folded line by tab", RAW(GET "X: a\r\n\tb\r\n\r\n"), 400},
    {"folded first header", RAW("GET / HTTP/1.1\r\n Host: a\r\n\r\n"), 400},
    {"folded empty line", RAW(GET "X: a\r\n \r\n\r\n"), 400},
    {"blank before the colon", RAW(GET "X : a\r\n\r\n"), 400},
    {"tab before the colon", RAW(GET "X\t: a\r\n\r\n"), 400},
    {"no colon", RAW(GET "X\r\n\r\n"), 400},
    {"empty name", RAW(GET ": a\r\n\r\n"), 400},
    {"name with a slash", RAW(GET "a/b: c\r\n\r\n"), 400},
    {"name with brackets", RAW(GET "a(b): c\r\n\r\n"), 400},
    {"name in quotes", RAW(GET "\"a\": c\r\n\r\n"), 400},
    {"name beyond ascii", RAW(GET "\xc3\xa4: c\r\n\r\n"), 400},
    {"three blank lines", RAW("\r\n\r\n\r\n" GET "\r\n"), 400},

    /* The request line. */
    {"lower-case method", RAW("get / HTTP/1.1\r\nHost: a\r\n\r\n"), 400},
    {"half lower-case method", RAW("GeT / HTTP/1.1\r\nHost: a\r\n\r\n"), 400},
    {"unknown method", RAW("FOO / HTTP/1.1\r\nHost: a\r\n\r\n"), 400},
    {"no method", RAW(" / HTTP/1.1\r\nHost: a\r\n\r\n"), 400},
    {"CONNECT", RAW("CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n"), 400},
    {"CONNECT to a path", RAW("CONNECT /a HTTP/1.1\r\nHost: a\r\n\r\n"), 400},
    {"absolute form", RAW("GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n"), 400},
    {"authority form", RAW("GET a:80 HTTP/1.1\r\nHost: a\r\n\r\n"), 400},
    {"star for a get", RAW("GET * HTTP/1.1\r\nHost: a\r\n\r\n"), 400},
    {"star and more", RAW("OPTIONS *a HTTP/1.1\r\nHost: a\r\n\r\n"), 400},
    {"no target", RAW("GET HTTP/1.1\r\nHost: a\r\n\r\n"), 400},
    {"empty target", RAW("GET  HTTP/1.1\r\nHost: a\r\n\r\n"), 400},
    {"fragment", RAW("GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n"), 400},
    {"target beyond ascii", RAW("GET /\xc3\xa4 HTTP/1.1\r\nHost: a\r\n\r\n"), 400},
    {"two targets", RAW("GET /a /b HTTP/1.1\r\nHost: a\r\n\r\n"), 400},
    {"two blanks", RAW("GET  / HTTP/1.1\r\nHost: a\r\n\r\n"), 400},
    {"two blanks before the version", RAW("GET /  HTTP/1.1\r\nHost: a\r\n\r\n"), 400},
    {"tab instead of blank", RAW("GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n"), 400},
    {"tab before the version", RAW("GET /\tHTTP/1.1\r\nHost: a\r\n\r\n"), 400},
    {"blank after the version", RAW("GET / HTTP/1.1 \r\nHost: a\r\n\r\n"), 400},
    {"0.9", RAW("GET /\r\n"), 400},
    {"version 0.9", RAW("GET / HTTP/0.9\r\nHost: a\r\n\r\n"), 400},
    {"version 1.2", RAW("GET / HTTP/1.2\r\nHost: a\r\n\r\n"), 400},
    {"version 2.0", RAW("GET / HTTP/2.0\r\nHost: a\r\n\r\n"), 400},
    {"version 1.10", RAW("GET / HTTP/1.10\r\nHost: a\r\n\r\n"), 400},
    {"version 1", RAW("GET / HTTP/1\r\nHost: a\r\n\r\n"), 400},
    {"version of another", RAW("GET / HTTQ/1.1\r\nHost: a\r\n\r\n"), 400},
    {"version in lower case", RAW("GET / http/1.1\r\nHost: a\r\n\r\n"), 400},
    {"preface of HTTP/2", RAW("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), 400},
    {"client hello of TLS", RAW("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"), 400},
    {"an answer", RAW("HTTP/1.1 200 OK\r\n\r\n"), 400},

    /* Who is asked, and by whom. */
    {"no host", RAW("GET / HTTP/1.1\r\n\r\n"), 400},
    {"no host on 1.0", RAW("GET / HTTP/1.0\r\n\r\n"), 400},
    {"host twice", RAW(GET "Host: b\r\n\r\n"), 400},
    {"host twice, equal", RAW(GET "host: a\r\n\r\n"), 400},
    {"host empty", RAW("GET / HTTP/1.1\r\nHost:\r\n\r\n"), 400},
    {"host with a user", RAW("GET / HTTP/1.1\r\nHost: u@a\r\n\r\n"), 400},
    {"host with a path", RAW("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"), 400},
    {"host list", RAW("GET / HTTP/1.1\r\nHost: a, b\r\n\r\n"), 400},
    {"host with a blank", RAW("GET / HTTP/1.1\r\nHost: a b\r\n\r\n"), 400},
    {"host without a name", RAW("GET / HTTP/1.1\r\nHost: :80\r\n\r\n"), 400},
    {"host with an empty port", RAW("GET / HTTP/1.1\r\nHost: a:\r\n\r\n"), 400},
    {"host with a port that is none", RAW("GET / HTTP/1.1\r\nHost: a:80a\r\n\r\n"), 400},
    {"host with port 65536", RAW("GET / HTTP/1.1\r\nHost: a:65536\r\n\r\n"), 400},
    {"host with half a bracket", RAW("GET / HTTP/1.1\r\nHost: [::1\r\n\r\n"), 400},
    {"host with no address in brackets", RAW("GET / HTTP/1.1\r\nHost: [a]\r\n\r\n"), 400},
    {"host with a tail", RAW("GET / HTTP/1.1\r\nHost: [::1]x\r\n\r\n"), 400},
    {"authorization twice", RAW(GET "Authorization: Bearer a\r\nauthorization: Bearer a\r\n\r\n"),
     400},
    {"x-api-key twice", RAW(GET "X-Api-Key: a\r\nX-Api-Key: b\r\n\r\n"), 400},
    {"other expectation", RAW(POST "Expect: 200-ok\r\nContent-Length: 2\r\n\r\nhi"), 417},
    {"two expectations, one unknown",
     RAW(POST "Expect: 100-continue\r\nExpect: x\r\nContent-Length: 2\r\n\r\nhi"), 417},

    /* Chunks. */
    {"chunk size with a plus", RAW(CHUNKED "+5\r\nhello\r\n0\r\n\r\n"), 400},
    {"chunk size with a minus", RAW(CHUNKED "-5\r\nhello\r\n0\r\n\r\n"), 400},
    {"chunk size with 0x", RAW(CHUNKED "0x5\r\nhello\r\n0\r\n\r\n"), 400},
    {"blank before a chunk size", RAW(CHUNKED " 5\r\nhello\r\n0\r\n\r\n"), 400},
    {"blank after a chunk size", RAW(CHUNKED "5 \r\nhello\r\n0\r\n\r\n"), 400},
    {"blank before an extension", RAW(CHUNKED "5 ;a\r\nhello\r\n0\r\n\r\n"), 400},
    {"tab after a chunk size", RAW(CHUNKED "5\t\r\nhello\r\n0\r\n\r\n"), 400},
    {"underscore in a chunk size", RAW(CHUNKED "1_0\r\nhello\r\n0\r\n\r\n"), 400},
    {"empty chunk size", RAW(CHUNKED "\r\nhello\r\n0\r\n\r\n"), 400},
    {"no chunk size, an extension", RAW(CHUNKED ";a\r\nhello\r\n0\r\n\r\n"), 400},
    {"no hex digit", RAW(CHUNKED "g\r\nhello\r\n0\r\n\r\n"), 400},
    {"17 digits", RAW(CHUNKED "00000000000000005\r\nhello\r\n0\r\n\r\n"), 400},
    {"size of 2^64 + 5", RAW(CHUNKED "10000000000000005\r\nhello\r\n0\r\n\r\n"), 400},
    {"size of 2^64 - 1", RAW(CHUNKED "ffffffffffffffff\r\nhello"), 413},
    {"size one above the limit", RAW(CHUNKED "2000001\r\nhello"), 413},
    {"sum above the limit", RAW(CHUNKED "5\r\nhello\r\n1fffffc\r\nhello"), 413},
    {"sum past 64 bits", RAW(CHUNKED "5\r\nhello\r\nfffffffffffffffb\r\nhello"), 413},
    {"bare LF after a size", RAW(CHUNKED "5\nhello\r\n0\r\n\r\n"), 400},
    {"bare CR after a size", RAW(CHUNKED "5\rhello\r\n0\r\n\r\n"), 400},
    {"bare LF after data", RAW(CHUNKED "5\r\nhello\n0\r\n\r\n"), 400},
    {"nothing after data", RAW(CHUNKED "5\r\nhello0\r\n\r\n"), 400},
    {"data longer than its size", RAW(CHUNKED "5\r\nhello!\r\n0\r\n\r\n"), 400},
    {"bare LF in an extension", RAW(CHUNKED "5;a\nhello\r\n0\r\n\r\n"), 400},
    {"bare LF in a quoted extension", RAW(CHUNKED "5;a=\"\n\"\r\nhello\r\n0\r\n\r\n"), 400},
    {"bare CR in an extension", RAW(CHUNKED "5;a\rb\r\nhello\r\n0\r\n\r\n"), 400},
    {"NUL in an extension", RAW(CHUNKED "5;a\0\r\nhello\r\n0\r\n\r\n"), 400},
    {"bare LF after the last chunk", RAW(CHUNKED "0\n\r\n"), 400},
    {"bare LF as the end", RAW(CHUNKED "0\r\n\n"), 400},
    {"bare CR as the end", RAW(CHUNKED "0\r\n\rG"), 400},
    {"content-length as trailer", RAW(CHUNKED "0\r\nContent-Length: 5\r\n\r\n"), 400},
    {"transfer-encoding as trailer", RAW(CHUNKED "0\r\ntransfer-encoding: chunked\r\n\r\n"), 400},
    {"host as trailer", RAW(CHUNKED "0\r\nX: y\r\nHOST: b\r\n\r\n"), 400},
    {"authorization as trailer", RAW(CHUNKED "0\r\nAuthorization: x\r\n\r\n"), 400},
    {"trailer without a colon", RAW(CHUNKED "0\r\nX\r\n\r\n"), 400},
    {"trailer without a name", RAW(CHUNKED "0\r\n: x\r\n\r\n"), 400},
    {"trailer with a blank before the colon", RAW(CHUNKED "0\r\nX : x\r\n\r\n"), 400},
    {"folded trailer", RAW(CHUNKED "0\r\nX: x\r\n y\r\n\r\n"), 400},
    {"trailer with a bare LF", RAW(CHUNKED "0\r\nX: x\nY: z\r\n\r\n"), 400},
    {"trailer with a NUL", RAW(CHUNKED "0\r\nX: \0\r\n\r\n"), 400},
};

static struct buf
transcript(struct str bytes, run_cut_fn cut, const void *arg, enum run_style style)
{
    struct buf out;

    buf_init(&out, 64u << 20);
    run_requests(&out, &h1_limits_default, bytes, cut, arg, style);
    assert_false(out.failed);
    return out;
}

/* Every slicing gives the transcript of the whole, which is returned. step: of the cuts tried. */
static struct buf
every_split(const char *name, struct str bytes, size_t step)
{
    struct buf whole = transcript(bytes, run_whole, NULL, RUN_PLAIN), got;

    for (int style = RUN_PLAIN; style <= RUN_STASH; style++) {
        got = transcript(bytes, run_whole, NULL, (enum run_style)style);
        assert_same(name, &whole, &got, 0);
        got = transcript(bytes, run_bytes, NULL, (enum run_style)style);
        assert_same(name, &whole, &got, 1);
        for (size_t cut = 1; cut < bytes.len; cut += step) {
            got = transcript(bytes, run_one_cut, &cut, (enum run_style)style);
            assert_same(name, &whole, &got, cut);
        }
    }
    return whole;
}

/* How often a line of the transcript begins with word. */
static unsigned
count_of(const struct buf *out, const char *word)
{
    unsigned n = 0;
    size_t len = strlen(word);

    for (size_t i = 0; i + len <= out->len; i++)
        n += (i == 0 || out->ptr[i - 1] == '\n') && memcmp(out->ptr + i, word, len) == 0;
    return n;
}

static void
check_fixture(const struct fixture *f, size_t step)
{
    struct buf out = every_split(f->name, f->bytes, step);
    char want[32];

    snprintf(want, sizeof(want), "ERROR %u ", f->status);
    if (f->status == 0 && (count_of(&out, "DONE ") != 1 || count_of(&out, "END state=0") != 1))
        fail_msg("%s: should pass:\n%.*s", f->name, (int)out.len, out.ptr);
    if (f->status != 0 && (count_of(&out, want) != 1 || count_of(&out, "DONE ") != 0))
        fail_msg("%s: should be %u:\n%.*s", f->name, f->status, (int)out.len, out.ptr);
    buf_free(&out);
}

static void
test_fixtures(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(fixtures); i++)
        check_fixture(&fixtures[i], 1);
}

/* The lint does not lean on llhttp: alone it refuses all bad heads but two. */
static void
test_lint_alone(void **state)
{
    static const struct str chunked = RAW(CHUNKED);
    struct h1_head head;
    struct h1_error error;
    unsigned passed = 0;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(fixtures); i++) {
        struct str b = fixtures[i].bytes;
        const uint8_t *bytes = run_slice((const uint8_t *)b.ptr, b.len);
        h1_head_init(&head);
        enum h1_lint got = h1_head_lint_request(&head, &h1_limits_default, bytes, b.len, &error);
        assert_int_not_equal(got, H1_LINT_MORE);
        if (fixtures[i].status == 0)
            assert_int_equal(got, H1_LINT_DONE);
        else if (b.len < chunked.len || memcmp(b.ptr, chunked.ptr, chunked.len) != 0)
            passed += got == H1_LINT_DONE; /* an unknown method, CONNECT to a path */
    }
    assert_int_equal(passed, 2);
}

/* After a fault nothing is interpreted: a good request behind a bad one is not seen. */
static void
test_nothing_after_a_fault(void **state)
{
    struct buf bytes, out;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(fixtures); i++) {
        if (fixtures[i].status == 0)
            continue;
        buf_init(&bytes, 1 << 20);
        buf_add_str(&bytes, STR(NEXT));
        buf_add_str(&bytes, fixtures[i].bytes);
        buf_add_str(&bytes, STR(NEXT NEXT));
        out = every_split(fixtures[i].name, buf_str(&bytes), 7);
        if (count_of(&out, "DONE ") != 1 || count_of(&out, "ERROR ") != 1)
            fail_msg("%s:\n%.*s", fixtures[i].name, (int)out.len, out.ptr);
        buf_free(&out);
        buf_free(&bytes);
    }
}

static void
test_pipeline(void **state)
{
    struct buf bytes, out;
    unsigned good = 0;

    (void)state;
    buf_init(&bytes, 1 << 20);
    for (size_t i = 0; i < COUNT_OF(fixtures); i++) {
        if (fixtures[i].status != 0)
            continue;
        buf_add_str(&bytes, fixtures[i].bytes);
        good++;
    }
    out = every_split("pipeline", buf_str(&bytes), 1);
    assert_int_equal(count_of(&out, "DONE "), good);
    assert_int_equal(count_of(&out, "ERROR "), 0);
    buf_free(&out);
    buf_free(&bytes);
}

static void
test_bytes_after_close(void **state)
{
    struct buf out;

    (void)state;
    /* Whether it is served is the caller's: to the reader it is the next request. */
    out = every_split("close", (struct str)RAW(GET "Connection: close\r\n\r\n" NEXT), 1);
    assert_int_equal(count_of(&out, "DONE "), 2);
    buf_free(&out);
    out = every_split("upgrade",
                      (struct str)RAW(GET "Connection: upgrade\r\nUpgrade: websocket"
                                          "\r\n\r\n\x81\x05hello"),
                      1);
    assert_int_equal(count_of(&out, "DONE "), 1);
    assert_int_equal(count_of(&out, "ERROR 400"), 1);
    buf_free(&out);
}

/* ---- limits ------------------------------------------------------------------------------ */

static void
add_run(struct buf *buf, char c, size_t count)
{
    assert_true(buf_reserve(buf, count));
    memset(buf->ptr + buf->len, c, count);
    buf->len += count;
}

static void
check_size(const char *name, struct buf *bytes, unsigned status)
{
    struct fixture f = {name, buf_str(bytes), status};

    assert_false(bytes->failed);
    check_fixture(&f, bytes->len / 40 + 1);
    buf_free(bytes);
    buf_init(bytes, 1 << 20);
}

/* One line of exactly len bytes. */
static void
add_header_of(struct buf *buf, size_t len)
{
    buf_add_str(buf, STR("x-long: "));
    add_run(buf, 'v', len - 10);
    buf_add_str(buf, STR("\r\n"));
}

static void
test_line_limits(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 1 << 20);
    for (size_t over = 0; over <= 1; over++) {
        buf_add_str(&b, STR("GET /"));
        add_run(&b, 'a', 16384 + over - strlen("GET / HTTP/1.1\r\n"));
        buf_add_str(&b, STR(" HTTP/1.1\r\nHost: a\r\n\r\n"));
        check_size("request line", &b, over ? 414 : 0);

        buf_add_str(&b, STR(GET));
        add_header_of(&b, 16384 + over);
        buf_add_str(&b, STR("\r\n"));
        check_size("one header", &b, over ? 431 : 0);

        buf_add_str(&b, STR(GET));
        for (int i = 0; i < 3; i++)
            add_header_of(&b, 16384);
        add_header_of(&b, 16384 - strlen("Host: a\r\n") + over);
        buf_add_str(&b, STR("\r\n"));
        check_size("all headers", &b, over ? 431 : 0);

        buf_add_str(&b, STR(GET));
        for (size_t i = 0; i < 99 + over; i++)
            buf_add_str(&b, STR("a:\r\n"));
        buf_add_str(&b, STR("\r\n"));
        check_size("header lines", &b, over ? 431 : 0);
    }
    buf_add_str(&b, STR("GET /"));
    add_run(&b, 'a', 16384);
    check_size("endless request line", &b, 414);
    add_run(&b, 'A', 20000);
    check_size("endless method", &b, 414);
    buf_add_str(&b, STR(GET));
    add_run(&b, 'a', 20000);
    check_size("endless header name", &b, 431);
    buf_free(&b);
}

static void
test_chunk_limits(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 1 << 20);
    buf_add_str(&b, STR(CHUNKED "5;"));
    add_run(&b, 'a', 4095);
    buf_add_str(&b, STR("\r\nhello\r\n0\r\n\r\n"));
    check_size("longest extension", &b, 0);

    buf_add_str(&b, STR(CHUNKED "5;"));
    add_run(&b, 'a', 4096);
    buf_add_str(&b, STR("\r\nhello\r\n0\r\n\r\n"));
    check_size("extension too long", &b, 400);

    buf_add_str(&b, STR(CHUNKED));
    for (int i = 0; i < 500; i++)
        buf_add_str(&b, STR("1;ext=long\r\na\r\n"));
    check_size("many extensions", &b, 400);

    buf_add_str(&b, STR(CHUNKED "0\r\n"));
    for (int i = 0; i < 500; i++)
        buf_add_str(&b, STR("x-a: bbbb\r\n"));
    check_size("many trailers", &b, 400);

    buf_add_str(&b, STR(CHUNKED "0\r\nx: "));
    add_run(&b, 'a', 5000);
    check_size("endless trailer", &b, 400);

    buf_add_str(&b, STR(CHUNKED));
    for (int i = 0; i < 2000; i++)
        buf_add_str(&b, STR("1\r\na\r\n"));
    buf_add_str(&b, STR("0\r\n\r\n"));
    check_size("many small chunks", &b, 0);
    buf_free(&b);
}

/* Bodies over several reads, to the limit and over it. */
static void
test_body_limit(void **state)
{
    struct h1_limits limits = h1_limits_default;
    struct buf b, out;

    (void)state;
    limits.body_bytes = 300000;
    for (size_t over = 0; over <= 1; over++) {
        buf_init(&b, 1 << 20);
        buf_add_fmt(&b, POST "Content-Length: %zu\r\n\r\n", 300000 + over);
        add_run(&b, 'b', 300000 + over);
        buf_init(&out, 1 << 20);
        run_requests(&out, &limits, buf_str(&b), run_whole, NULL, RUN_PLAIN);
        assert_int_equal(count_of(&out, over ? "ERROR 413" : "DONE 300000 bbb"), 1);
        assert_int_equal(count_of(&out, "HEAD "), over ? 0 : 2);
        buf_free(&out);
        buf_free(&b);

        buf_init(&b, 1 << 20);
        buf_add_str(&b, STR(CHUNKED "30d40\r\n")); /* 200,000 */
        add_run(&b, 'b', 200000);
        buf_add_fmt(&b, "\r\n%zx\r\n", 100000 + over);
        add_run(&b, 'b', 100000 + over);
        buf_add_str(&b, STR("\r\n0\r\n\r\n"));
        buf_init(&out, 1 << 20);
        run_requests(&out, &limits, buf_str(&b), run_whole, NULL, RUN_PLAIN);
        assert_int_equal(count_of(&out, over ? "ERROR 413" : "DONE 300000 bbb"), 1);
        buf_free(&out);
        buf_free(&b);
    }
}

/* ---- who owns what ----------------------------------------------------------------------- */

/* The caller's own bound of one body, at every cut; the next request has the limits' again. */
static void
test_bound_of_one_body(void **state)
{
    static const char request[] = CHUNKED "4\r\nabcd\r\n1\r\ne\r\n0\r\n\r\n";
    struct h1_head scratch;

    (void)state;
    for (unsigned bound = 4; bound <= 5; bound++) {
        for (size_t cut = 1; cut < sizeof(request) - 1; cut++) {
            uint8_t bytes[sizeof(request)];
            enum h1_req_event event = H1_REQ_MORE;
            struct h1_req req;
            size_t at = 0;

            memcpy(bytes, request, sizeof(request));
            h1_req_init(&req, &h1_limits_default, &scratch);
            while (event != H1_REQ_DONE && event != H1_REQ_ERROR) {
                size_t end = at < cut ? cut : sizeof(request) - 1, used;

                event = h1_req_feed(&req, bytes + at, end - at, &used);
                if (event == H1_REQ_HEAD)
                    h1_req_bound_body(&req, bound);
                at += used;
            }
            assert_int_equal(event, bound < 5 ? H1_REQ_ERROR : H1_REQ_DONE);
            if (bound < 5)
                assert_int_equal(req.error.status, 413);
            else
                assert_memory_equal(req.body.ptr, "abcde", 5);
            h1_req_end(&req);
        }
    }
}

static void
test_whole_request_is_not_copied(void **state)
{
    static const struct str wires[] = {
        RAW(POST "Content-Length: 5\r\n\r\nhelloREST"),
        RAW(CHUNKED "2\r\nhe\r\n3;x\r\nllo\r\n0\r\n\r\nREST"),
    };
    struct h1_head scratch;
    struct h1_req req;
    size_t used;

    (void)state;
    h1_req_init(&req, &h1_limits_default, &scratch);
    for (size_t i = 0; i < COUNT_OF(wires); i++) {
        uint8_t *bytes = run_slice((const uint8_t *)wires[i].ptr, wires[i].len), *at = bytes;
        assert_int_equal(h1_req_feed(&req, at, wires[i].len, &used), H1_REQ_HEAD);
        assert_int_equal(req.state, H1_REQ_IN_BODY);
        at += used;
        assert_int_equal(h1_req_feed(&req, at, wires[i].len - used, &used), H1_REQ_DONE);
        assert_int_equal(wires[i].len - (size_t)(at + used - bytes), 4);
        assert_true(req.borrowed && !req.block);
        assert_ptr_equal(req.body.ptr, req.head->base + req.head->len);
        assert_memory_equal(req.body.ptr, "hello", 5);
        assert_int_equal(h1_req_feed(&req, at + used, 4, &used), H1_REQ_DONE); /* until next */
        assert_int_equal(used, 0);
        assert_int_equal(h1_req_keep(&req), 0);
        assert_int_equal(h1_req_keep(&req), 0);
        memset(&scratch, 0, sizeof(scratch));
        run_slice(NULL, 0);
        assert_memory_equal(req.body.ptr, "hello", 5);
        assert_int_equal(h1_head_path(req.head).len, strlen("/v1/messages"));
        assert_ptr_equal(req.body.ptr, req.head->base + req.head->len);
        h1_req_next(&req);
        assert_null(req.block);
        assert_null(req.head);
        assert_int_equal(req.state, H1_REQ_IDLE);
    }
    h1_req_end(&req);
}

static void
test_stash_is_bounded(void **state)
{
    static uint8_t rest[2 * H1_STASH_MARK];
    struct h1_head scratch;
    struct h1_req req;
    char wire[] = NEXT;
    size_t used, at = 0;

    (void)state;
    h1_req_init(&req, &h1_limits_default, &scratch);
    assert_int_equal(h1_req_feed(&req, (uint8_t *)wire, sizeof(wire) - 1, &used), H1_REQ_HEAD);
    at = used;
    assert_int_equal(h1_req_feed(&req, (uint8_t *)wire + at, 0, &used), H1_REQ_DONE);
    assert_false(h1_req_has_stash(&req));
    assert_int_equal(h1_req_stash(&req, rest, 10), 0);
    assert_int_equal(h1_req_stash(&req, rest, sizeof(rest) - 10), 0);
    assert_int_equal(h1_req_stash(&req, rest, 1), -ENOBUFS);
    assert_true(h1_req_has_stash(&req));
    h1_req_next(&req);
    assert_int_equal(h1_req_feed(&req, NULL, 0, &used), H1_REQ_ERROR);
    assert_int_equal(req.error.status, 400);
    h1_req_end(&req);
    assert_int_equal(req.state, H1_REQ_IDLE);
    assert_false(h1_req_has_stash(&req));
}

/* More bytes come while the head of a request from the stash was just looked at. */
static void
test_stash_grows_within_a_request(void **state)
{
    struct h1_head scratch;
    struct h1_req req;
    char first[] = NEXT, body[] = "hello" NEXT;
    static const char second[] = POST "Content-Length: 5\r\n\r\n";
    size_t used;

    (void)state;
    h1_req_init(&req, &h1_limits_default, &scratch);
    assert_int_equal(h1_req_feed(&req, (uint8_t *)first, sizeof(first) - 1, &used), H1_REQ_HEAD);
    assert_int_equal(h1_req_feed(&req, (uint8_t *)first + used, 0, &used), H1_REQ_DONE);
    assert_int_equal(h1_req_stash(&req, (const uint8_t *)second, sizeof(second) - 1), 0);
    h1_req_next(&req);
    assert_int_equal(h1_req_feed(&req, NULL, 0, &used), H1_REQ_HEAD);
    memset(&scratch, 0xa5, sizeof(scratch));
    assert_int_equal(h1_req_feed(&req, (uint8_t *)body, sizeof(body) - 1, &used), H1_REQ_DONE);
    assert_int_equal(used, 5);
    assert_memory_equal(req.body.ptr, "hello", 5);
    assert_int_equal(req.head->method, H1_POST);
    h1_req_end(&req);
}

static void
test_head_says(void **state)
{
    struct h1_head scratch;
    struct h1_req req;
    char wire[] = "POST /v1/chat?x=1 HTTP/1.1\r\nhOST: a:1\r\nAUTHORIZATION: Bearer k\r\n"
                  "Anthropic-Beta: one\r\nanthropic-beta: two\r\nX-Other:  z \r\n"
                  "Connection: foo , Close\r\nExpect: 100-continue\r\nContent-Length: 0\r\n\r\n";
    size_t used;

    (void)state;
    h1_req_init(&req, &h1_limits_default, &scratch);
    assert_int_equal(h1_req_feed(&req, (uint8_t *)wire, sizeof(wire) - 1, &used), H1_REQ_HEAD);
    const struct h1_head *h = req.head;
    assert_int_equal(h->method, H1_POST);
    assert_int_equal(h->header_count, 8);
    assert_false(h->keep_alive);
    assert_true(h->expect_continue);
    assert_int_equal(h->framing, H1_FRAMING_LENGTH);
    struct str s = h1_head_get(h, H1_ANTHROPIC_BETA);
    assert_true(s.len == 3 && memcmp(s.ptr, "one", 3) == 0);
    s = h1_head_get(h, H1_AUTHORIZATION);
    assert_true(s.len == 8 && memcmp(s.ptr, "Bearer k", 8) == 0);
    s = h1_head_query(h);
    assert_true(s.len == 3 && memcmp(s.ptr, "x=1", 3) == 0);
    s = h1_head_value(h, 4);
    assert_true(s.len == 1 && s.ptr[0] == 'z');
    assert_int_equal(h->headers[4].known, H1_NAME_OTHER);
    assert_null(h1_head_get(h, H1_X_API_KEY).ptr);
    h1_req_end(&req);
}

static void
test_keep_alive(void **state)
{
    static const struct {
        const char *wire;
        bool alive;
    } cases[] = {
        {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", true},
        {"GET / HTTP/1.0\r\nHost: a\r\n\r\n", false},
        {"GET / HTTP/1.0\r\nHost: a\r\nConnection: Keep-Alive\r\n\r\n", true},
        {"GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive, close\r\n\r\n", false},
        {"GET / HTTP/1.1\r\nHost: a\r\nConnection: x\r\nConnection: CLOSE\r\n\r\n", false},
        {"GET / HTTP/1.1\r\nHost: a\r\nConnection: closed\r\n\r\n", true},
        {"GET / HTTP/1.1\r\nHost: a\r\nConnection: ,,\t close\t,\r\n\r\n", false},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct h1_head scratch;
        struct h1_req req;
        uint8_t *bytes = run_slice((const uint8_t *)cases[i].wire, strlen(cases[i].wire));
        size_t used;

        h1_req_init(&req, &h1_limits_default, &scratch);
        assert_int_equal(h1_req_feed(&req, bytes, strlen(cases[i].wire), &used), H1_REQ_HEAD);
        if (req.head->keep_alive != cases[i].alive)
            fail_msg("%s", cases[i].wire);
        h1_req_end(&req);
    }
}

static void
test_names(void **state)
{
    (void)state;
    for (unsigned n = H1_NAME_OTHER + 1; n < H1_NAME_COUNT; n++) {
        struct str text = h1_name_text((enum h1_name)n);
        char other[64];

        assert_true(text.len > 0 && text.len < sizeof(other));
        assert_int_equal(h1_name_of(text), n);
        for (size_t i = 0; i < text.len; i++)
            other[i] =
                (char)(text.ptr[i] >= 'a' && text.ptr[i] <= 'z' ? text.ptr[i] - 32 : text.ptr[i]);
        assert_int_equal(h1_name_of((struct str){other, text.len}), n);
        for (size_t i = 0; i < text.len; i++) {
            char was = other[i];
            other[i] = '_';
            assert_int_equal(h1_name_of((struct str){other, text.len}), H1_NAME_OTHER);
            other[i] = '\r'; /* '-' without bit 0x20 */
            assert_int_equal(h1_name_of((struct str){other, text.len}), H1_NAME_OTHER);
            other[i] = was;
        }
    }
    assert_int_equal(h1_name_of(STR_NONE), H1_NAME_OTHER);
    assert_int_equal(h1_name_of(STR("x")), H1_NAME_OTHER);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fixtures),
        cmocka_unit_test(test_lint_alone),
        cmocka_unit_test(test_nothing_after_a_fault),
        cmocka_unit_test(test_pipeline),
        cmocka_unit_test(test_bytes_after_close),
        cmocka_unit_test(test_line_limits),
        cmocka_unit_test(test_chunk_limits),
        cmocka_unit_test(test_body_limit),
        cmocka_unit_test(test_bound_of_one_body),
        cmocka_unit_test(test_whole_request_is_not_copied),
        cmocka_unit_test(test_stash_is_bounded),
        cmocka_unit_test(test_stash_grows_within_a_request),
        cmocka_unit_test(test_head_says),
        cmocka_unit_test(test_keep_alive),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
