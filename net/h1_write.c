#include "net/h1_write.h"

#include <string.h>

void
h1_out_init(struct h1_out *out, char *ptr, size_t cap)
{
    *out = (struct h1_out){.ptr = ptr, .cap = cap};
}

static void
add(struct h1_out *out, struct str s)
{
    if (out->failed || s.len > out->cap - out->len) {
        out->failed = true;
        return;
    }
    if (s.len > 0)
        memcpy(out->ptr + out->len, s.ptr, s.len);
    out->len += s.len;
}

/* Decimal, into the end of buf; returns where it begins. */
static struct str
decimal(uint64_t n, char buf[20])
{
    size_t i = 20;

    do
        buf[--i] = (char)('0' + n % 10);
    while ((n /= 10) != 0);
    return (struct str){buf + i, 20 - i};
}

struct str
h1_status_text(unsigned status)
{
    switch (status) {
    case 100: return STR("Continue");
    case 200: return STR("OK");
    case 201: return STR("Created");
    case 202: return STR("Accepted");
    case 204: return STR("No Content");
    case 301: return STR("Moved Permanently");
    case 302: return STR("Found");
    case 303: return STR("See Other");
    case 304: return STR("Not Modified");
    case 307: return STR("Temporary Redirect");
    case 308: return STR("Permanent Redirect");
    case 400: return STR("Bad Request");
    case 401: return STR("Unauthorized");
    case 402: return STR("Payment Required");
    case 403: return STR("Forbidden");
    case 404: return STR("Not Found");
    case 405: return STR("Method Not Allowed");
    case 406: return STR("Not Acceptable");
    case 408: return STR("Request Timeout");
    case 409: return STR("Conflict");
    case 410: return STR("Gone");
    case 411: return STR("Length Required");
    case 412: return STR("Precondition Failed");
    case 413: return STR("Content Too Large");
    case 414: return STR("URI Too Long");
    case 415: return STR("Unsupported Media Type");
    case 417: return STR("Expectation Failed");
    case 421: return STR("Misdirected Request");
    case 422: return STR("Unprocessable Content");
    case 425: return STR("Too Early");
    case 429: return STR("Too Many Requests");
    case 431: return STR("Request Header Fields Too Large");
    case 500: return STR("Internal Server Error");
    case 501: return STR("Not Implemented");
    case 502: return STR("Bad Gateway");
    case 503: return STR("Service Unavailable");
    case 504: return STR("Gateway Timeout");
    case 529: return STR("Overloaded");
    default: return STR("Unknown");
    }
}

void
h1_out_status(struct h1_out *out, unsigned status)
{
    char digits[20];

    if (status == 200) {
        add(out, STR("HTTP/1.1 200 OK\r\n"));
        return;
    }
    if (status < 100 || status > 599)
        out->failed = true;
    add(out, STR("HTTP/1.1 "));
    add(out, decimal(status, digits));
    add(out, STR(" "));
    add(out, h1_status_text(status));
    add(out, STR("\r\n"));
}

/* Printable ASCII without blanks, '#' or, but for the query, '?'. */
static bool
is_target_part(struct str s, bool query)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        if (c <= 0x20 || c >= 0x7f || c == '#' || (c == '?' && !query))
            return false;
    }
    return true;
}

void
h1_out_request(struct h1_out *out, struct str method, struct h1_target target, struct str host)
{
    struct str begin = target.prefix.len > 0 ? target.prefix : target.path;

    if (!h1_is_token(method) || begin.len == 0 || begin.ptr[0] != '/' ||
        !is_target_part(target.prefix, false) || !is_target_part(target.path, false) ||
        !is_target_part(target.query, true) || host.len == 0 || !is_target_part(host, false))
        out->failed = true;
    add(out, method);
    add(out, STR(" "));
    add(out, target.prefix);
    add(out, target.path);
    if (target.query.ptr) {
        add(out, STR("?"));
        add(out, target.query);
    }
    add(out, STR(" HTTP/1.1\r\nhost: "));
    add(out, host);
    add(out, STR("\r\n"));
}

void
h1_out_header2(struct h1_out *out, struct str name, struct str value, struct str more)
{
    if (!h1_is_token(name) || !h1_is_value(value) || !h1_is_value(more))
        out->failed = true;
    add(out, name);
    add(out, STR(": "));
    add(out, value);
    add(out, more);
    add(out, STR("\r\n"));
}

void
h1_out_header(struct h1_out *out, struct str name, struct str value)
{
    h1_out_header2(out, name, value, STR_NONE);
}

void
h1_out_header_u64(struct h1_out *out, struct str name, uint64_t value)
{
    char digits[20];

    h1_out_header2(out, name, decimal(value, digits), STR_NONE);
}

void
h1_out_length(struct h1_out *out, uint64_t content_length)
{
    char digits[20];

    add(out, STR("content-length: "));
    add(out, decimal(content_length, digits));
    add(out, STR("\r\n"));
}

void
h1_out_chunked(struct h1_out *out)
{
    add(out, STR("transfer-encoding: chunked\r\n"));
}

void
h1_out_connection(struct h1_out *out, bool keep_alive, unsigned minor)
{
    if (!keep_alive)
        add(out, STR("connection: close\r\n"));
    else if (minor == 0)
        add(out, STR("connection: keep-alive\r\n"));
}

void
h1_out_lines(struct h1_out *out, struct str lines)
{
    add(out, lines);
}

bool
h1_out_end(struct h1_out *out)
{
    add(out, STR("\r\n"));
    return !out->failed;
}

static void
two_digits(char *at, unsigned n)
{
    at[0] = (char)('0' + n / 10 % 10);
    at[1] = (char)('0' + n % 10);
}

/* Days since 1970-01-01 to a civil date: the year is counted from March, in eras of 400 years,
 * so that the leap day is the last of its year. Dates before 1970 are not asked for. */
static void
civil_of_days(uint32_t days, unsigned *year, unsigned *month, unsigned *day)
{
    uint32_t z = days + 719468, era = z / 146097, doe = z % 146097;
    uint32_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    uint32_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    uint32_t mp = (5 * doy + 2) / 153;

    *day = doy - (153 * mp + 2) / 5 + 1;
    *month = mp < 10 ? mp + 3 : mp - 9;
    *year = yoe + era * 400 + (*month <= 2);
}

struct str
h1_date_text(struct h1_date *date, int64_t wall_us)
{
    static const char days[] = "ThuFriSatSunMonTueWed"; /* 1970-01-01 was a Thursday */
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    static const int64_t end_s = 253402300799; /* the last second of the year 9999 */
    int64_t wall_s = wall_us < 0 ? 0 : MIN(wall_us / 1000000, end_s);

    if (date->len > 0 && date->wall_s == wall_s)
        return (struct str){date->text, date->len};

    uint32_t day_count = (uint32_t)(wall_s / 86400), second = (uint32_t)(wall_s % 86400);
    unsigned year, month, day;
    civil_of_days(day_count, &year, &month, &day);
    char *at = date->text;
    memcpy(at, "Thu, 01 Jan 1970 00:00:00 GMT", 29);
    memcpy(at, days + day_count % 7 * 3, 3);
    two_digits(at + 5, day);
    memcpy(at + 8, months + (month - 1) * 3, 3);
    two_digits(at + 12, year / 100);
    two_digits(at + 14, year % 100);
    two_digits(at + 17, second / 3600);
    two_digits(at + 20, second / 60 % 60);
    two_digits(at + 23, second % 60);
    date->wall_s = wall_s;
    date->len = 29;
    return (struct str){date->text, date->len};
}

void
h1_out_date(struct h1_out *out, struct h1_date *date, int64_t wall_us)
{
    add(out, STR("date: "));
    add(out, h1_date_text(date, wall_us));
    add(out, STR("\r\n"));
}

size_t
h1_chunk_head(size_t len, char out[H1_CHUNK_HEAD_MAX])
{
    static const char hex[] = "0123456789abcdef";
    unsigned digits = 1;

    ASSERT(len > 0); /* a size of 0 would end the message */
    while (digits < 16 && len >> (4 * digits) != 0)
        digits++;
    for (unsigned i = 0; i < digits; i++)
        out[i] = hex[len >> (4 * (digits - 1 - i)) & 15];
    out[digits] = '\r';
    out[digits + 1] = '\n';
    return digits + 2;
}
