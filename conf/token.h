/* Words and signs of routes.conf, for conf/scan.c, and how faults of grammar are said. */
#ifndef CONF_TOKEN_H
#define CONF_TOKEN_H

#include "conf/scan.h"

static inline struct place
place_of(const struct scan *scan, uint32_t line)
{
    return (struct place){.file_idx = scan->file_idx, .line = line};
}

#define SYNTAX_FAULT(scan, at_line, ...)                                                           \
    do {                                                                                           \
        (scan)->load->bad_syntax++;                                                                \
        load_fault((scan)->load, place_of((scan), (at_line)), __VA_ARGS__);                        \
    } while (0)

/* On to the next token, into scan->token: SCAN_END at the text's end. */
void token_advance(struct scan *scan);

static inline bool
token_is_punct(const struct scan *scan, char punct)
{
    return scan->token.kind == SCAN_PUNCT && scan->token.punct == punct;
}

static inline bool
token_is_assignment(const struct scan *scan)
{
    return token_is_punct(scan, '=') || scan->token.kind == SCAN_APPEND;
}

/* What a word says, as far as names go: the inside of its quotes. */
static inline struct str
token_name(const struct scan_token *token)
{
    if (!token->quoted)
        return token->text;
    return (struct str){token->text.ptr + 1, token->text.len - 2};
}

#endif
