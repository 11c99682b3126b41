#include "conf/token.h"

#include <stdlib.h>
#include <string.h>

#include "base/str.h"

static char
byte_at(const struct scan *scan, size_t at)
{
    return at < scan->text.len ? scan->text.ptr[at] : '\0';
}

static bool
comment_starts(const struct scan *scan)
{
    char c = byte_at(scan, scan->at), next = byte_at(scan, scan->at + 1);

    return c == '#' || (c == '/' && (next == '/' || next == '*'));
}

static void
comment_skip(struct scan *scan)
{
    uint32_t line = scan->line;

    if (byte_at(scan, scan->at) == '#' || byte_at(scan, scan->at + 1) == '/') {
        scan->at = str_find(scan->text, '\n', scan->at);
        return;
    }
    for (scan->at += 2; scan->at < scan->text.len; scan->at++) {
        if (scan->text.ptr[scan->at] == '\n')
            scan->line++;
        if (scan->text.ptr[scan->at] == '*' && byte_at(scan, scan->at + 1) == '/') {
            scan->at += 2;
            return;
        }
    }
    SYNTAX_FAULT(scan, line, "syntax: this comment is never closed: \"*/\" is missing");
}

static void
blank_skip(struct scan *scan)
{
    while (scan->at < scan->text.len) {
        unsigned char c = (unsigned char)scan->text.ptr[scan->at];

        if (comment_starts(scan)) {
            comment_skip(scan);
            continue;
        }
        if (c > ' ' && c != 0x7f)
            return;
        if (c == '\n')
            scan->line++;
        else if (c != ' ' && c != '\t' && c != '\r')
            SYNTAX_FAULT(scan, scan->line, "syntax: byte 0x%02x has no place here", c);
        scan->at++;
    }
}

/* libconfuse would cut the value there. */
static bool
escape_is_nul(const struct scan *scan, size_t at)
{
    char first = byte_at(scan, at + 1);
    size_t digit = first == 'x' ? at + 2 : at + 1;

    if (byte_at(scan, digit) != '0')
        return false;
    for (size_t end = digit + (first == 'x' ? 2 : 3); digit < end; digit++) {
        char c = byte_at(scan, digit);

        if ((c >= '1' && c <= '9') || (first == 'x' && strchr("abcdefABCDEF", c) && c != '\0'))
            return false;
        if (c != '0')
            break;
    }
    return true;
}

/* A ${NAME} or ${NAME:-otherwise} at `at` within a string; gives the byte after it. */
static size_t
variable_skip(struct scan *scan, size_t at)
{
    size_t end = str_find(scan->text, '}', at);
    struct str name = {scan->text.ptr + at + 2, end - at - 2};
    char text[128];

    if (end >= scan->text.len || str_find(name, '"', 0) < name.len ||
        str_find(name, '\n', 0) < name.len) {
        SYNTAX_FAULT(scan, scan->line, "syntax: this \"${\" is never closed: \"}\" is missing");
        return at + 2;
    }
    if (!str_contains(name, STR(":-")) && str_copy(name, text, sizeof(text)) == name.len &&
        !scan->load->from_text && getenv(text) == NULL)
        load_warning(scan->load, place_of(scan, scan->line),
                     "the environment variable %s is not set: ${%s} is empty", text, text);
    return end + 1;
}

/* Scans over a quoted string. No value needs more than a line, so a string that is not closed ends
 * with its line and what follows is still read; a newline behind a backslash goes on. */
static void
string_take(struct scan *scan, struct scan_token *token)
{
    char quote = scan->text.ptr[scan->at];
    size_t start = scan->at, at = start + 1;
    unsigned bad_syntax = scan->load->bad_syntax;
    uint32_t line = scan->line;

    while (at < scan->text.len && scan->text.ptr[at] != quote && scan->text.ptr[at] != '\n') {
        char c = scan->text.ptr[at];

        if (c == '\0')
            SYNTAX_FAULT(scan, scan->line, "syntax: a value cannot hold a NUL byte");
        if (c == '\\' && quote == '"' && escape_is_nul(scan, at))
            SYNTAX_FAULT(scan, scan->line, "syntax: a value cannot hold a NUL byte");
        if (c == '$' && quote == '"' && byte_at(scan, at + 1) == '{') {
            at = variable_skip(scan, at);
            continue;
        }
        if (c == '\\')
            at++;
        if (byte_at(scan, at) == '\n')
            scan->line++;
        at++;
    }
    token->quoted = true;
    token->quoted = byte_at(scan, at) == quote;
    scan->at = MIN(at + token->quoted, scan->text.len);
    if (!token->quoted)
        SYNTAX_FAULT(scan, line, "syntax: this string is never closed: %c is missing", quote);
    token->broken = scan->load->bad_syntax != bad_syntax;
    token->text = (struct str){scan->text.ptr + start, scan->at - start};
}

static bool
is_word_byte(char c)
{
    return (unsigned char)c > ' ' && c != 0x7f && strchr("#\"'={}()+,", c) == NULL;
}

static void
word_take(struct scan *scan, struct scan_token *token)
{
    size_t start = scan->at;

    if (byte_at(scan, start) == '$' && byte_at(scan, start + 1) == '{') {
        scan->at = variable_skip(scan, start);
    } else {
        while (scan->at < scan->text.len && is_word_byte(scan->text.ptr[scan->at]))
            scan->at++;
    }
    token->text = (struct str){scan->text.ptr + start, scan->at - start};
}

/* Moves scan->token on to the next token. */
void
token_advance(struct scan *scan)
{
    struct scan_token token = {.kind = SCAN_END};
    char c;

    blank_skip(scan);
    token.line = scan->line;
    if (scan->at < scan->text.len) {
        c = scan->text.ptr[scan->at];
        token.kind = SCAN_WORD;
        if (c == '"' || c == '\'') {
            string_take(scan, &token);
        } else if (is_word_byte(c)) {
            word_take(scan, &token);
        } else {
            token.kind = c == '+' && byte_at(scan, scan->at + 1) == '=' ? SCAN_APPEND : SCAN_PUNCT;
            token.punct = c;
            token.text = (struct str){scan->text.ptr + scan->at, token.kind == SCAN_APPEND ? 2 : 1};
            scan->at += token.text.len;
        }
    }
    scan->token = token;
}
