#include "manage/mail.h"

#include "base/clock.h"
#include "base/hash.h"
#include "base/str.h"
#include "base/utf8.h"

#include <stdlib.h>
#include <string.h>

#define LINE_LEN 76u
#define WORD_LEN_MAX 75u /* of an encoded word, RFC 2047 2 */
#define WORD_START "=?UTF-8?B?"
#define WORD_END "?="
#define WORD_TEXT_MAX ((WORD_LEN_MAX - sizeof(WORD_START) - sizeof(WORD_END) + 2) / 4 * 3)

bool
mail_address_ok(struct str address)
{
    size_t at = str_find(address, '@', 0);

    if (address.len > 254 || at == 0 || at > 64 || at + 1 >= address.len ||
        str_find(address, '@', at + 1) != address.len)
        return false;
    for (size_t i = 0; i < address.len; i++) {
        uint8_t c = (uint8_t)address.ptr[i];

        if (c <= ' ' || c >= 0x7f || strchr("<>()[]\\,;:\"", c) != NULL)
            return false;
    }
    return true;
}

/* ---- encodings ---- */

static void
add_base64(struct buf *out, struct str bytes)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    for (size_t i = 0; i < bytes.len; i += 3) {
        size_t left = bytes.len - i;
        uint32_t n = (uint32_t)(uint8_t)bytes.ptr[i] << 16;

        n |= left > 1 ? (uint32_t)(uint8_t)bytes.ptr[i + 1] << 8 : 0;
        n |= left > 2 ? (uint32_t)(uint8_t)bytes.ptr[i + 2] : 0;
        buf_add_char(out, letters[n >> 18]);
        buf_add_char(out, letters[n >> 12 & 63]);
        buf_add_char(out, left > 1 ? letters[n >> 6 & 63] : '=');
        buf_add_char(out, left > 2 ? letters[n & 63] : '=');
    }
}

/* A body: its lines ended by CR LF before they are encoded (RFC 2045 6.8). */
static void
add_body(struct buf *out, struct str text)
{
    size_t line = LINE_LEN / 4 * 3;
    struct buf crlf;

    buf_init(&crlf, SIZE_MAX / 4);
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '\n')
            buf_add_char(&crlf, '\r');
        buf_add_char(&crlf, text.ptr[i]);
    }
    out->failed = out->failed || crlf.failed;
    for (size_t at = 0; at < crlf.len; at += line) {
        add_base64(out, (struct str){crlf.ptr + at, MIN(line, crlf.len - at)});
        buf_add_str(out, STR("\r\n"));
    }
    if (crlf.ptr != NULL)
        explicit_bzero(crlf.ptr, crlf.cap);
    buf_free(&crlf);
}

/* How much of the text a word takes: whole characters. Bytes that are none count as one each. */
static size_t
word_len(struct str text)
{
    size_t len = 0;

    while (len < text.len) {
        size_t next = MAX(utf8_sequence(text.ptr + len, text.len - len), (size_t)1);

        if (len + next > WORD_TEXT_MAX)
            break;
        len += next;
    }
    return len;
}

/* Text of a header, always encoded: then nothing in it means anything there. Words are parted by folds. */
static void
add_words(struct buf *out, struct str text)
{
    bool first = true;

    while (text.len > 0) {
        size_t len = word_len(text);

        buf_add_str(out, first ? STR(WORD_START) : STR("\r\n " WORD_START));
        add_base64(out, (struct str){text.ptr, len});
        buf_add_str(out, STR(WORD_END));
        text.ptr += len;
        text.len -= len;
        first = false;
    }
}

/* ---- the message ---- */

static void
add_date(struct buf *out, int64_t wall_us)
{
    static const char *const days[] = {"Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"};
    static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                         "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    int64_t s = wall_us / 1000000, day = s / 86400, in_day = s % 86400;
    struct civil civil = clock_civil(wall_us);

    buf_add_fmt(out, "Date: %s, %d %s %d %02d:%02d:%02d +0000\r\n", days[day % 7], civil.day,
                months[civil.month - 1], civil.year, (int)(in_day / 3600), (int)(in_day / 60 % 60),
                (int)(in_day % 60));
}

/* 24 hex digits of what tells the message from all others. */
static void
token_of(const struct conf_mail *conf, const struct mail_head *head, const char *what, char out[25])
{
    uint8_t hash[HASH_LEN];
    struct buf bytes;

    buf_init(&bytes, 4096);
    buf_add_fmt(&bytes, "%s %llu %lld %.*s %.*s", what, (unsigned long long)head->id,
                (long long)head->created_us, STR_ARGS(conf->from), STR_ARGS(head->to));
    hash_keyed(NULL, bytes.ptr != NULL ? bytes.ptr : "", bytes.len, hash);
    buf_free(&bytes);
    str_hex(hash, 12, out);
}

static void
add_head(struct buf *out, const struct conf_mail *conf, const struct mail_head *head,
         struct str subject, const char *boundary)
{
    struct str rest;
    char token[25];

    token_of(conf, head, "message", token);
    (void)str_split(conf->from, '@', &rest);
    add_date(out, head->wall_us);
    buf_add_str(out, STR("From: "));
    if (conf->from_name.len > 0) {
        add_words(out, conf->from_name);
        buf_add_str(out, STR("\r\n "));
    }
    buf_add_fmt(out, "<%.*s>\r\nTo: <%.*s>\r\n", STR_ARGS(conf->from), STR_ARGS(head->to));
    if (conf->reply_to.len > 0)
        buf_add_fmt(out, "Reply-To: <%.*s>\r\n", STR_ARGS(conf->reply_to));
    buf_add_str(out, STR("Subject: "));
    add_words(out, subject);
    buf_add_fmt(out,
                "\r\nMessage-ID: <%s@%.*s>\r\n"
                "Auto-Submitted: auto-generated\r\n"
                "MIME-Version: 1.0\r\n"
                "Content-Language: %s\r\n"
                "Content-Type: multipart/alternative; boundary=\"%s\"\r\n\r\n",
                token, STR_ARGS(rest), conf_language_name[head->language], boundary);
}

static void
add_part(struct buf *out, const char *boundary, const char *type, struct str text)
{
    buf_add_fmt(out,
                "--%s\r\nContent-Type: text/%s; charset=utf-8\r\n"
                "Content-Transfer-Encoding: base64\r\n\r\n",
                boundary, type);
    add_body(out, text);
}

bool
mail_message(const struct conf_mail *conf, const struct mail_head *head,
             const struct mail_text *text, struct buf *out)
{
    char boundary[32] = "=_";

    if (!mail_address_ok(head->to) || !mail_address_ok(conf->from))
        return false;
    /* "=_" stands in no base64: no line of a part is the boundary. */
    token_of(conf, head, "boundary", boundary + 2);
    add_head(out, conf, head, buf_str(&text->subject), boundary);
    add_part(out, boundary, "plain", buf_str(&text->plain));
    add_part(out, boundary, "html", buf_str(&text->html));
    buf_add_fmt(out, "--%s--\r\n", boundary);
    return !out->failed;
}
