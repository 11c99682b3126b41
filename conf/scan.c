#include "conf/scan.h"

#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "conf/token.h"

#define UNEXPECTED_FAULT(scan)                                                                     \
    SYNTAX_FAULT(                                                                                  \
        scan, (scan)->token.line,                                                                  \
        "syntax: unexpected \"%.*s\"; quote a value that holds one of = { } ( ) , + # or "         \
        "a blank",                                                                                 \
        STR_ARGS((scan)->token.text))

/* ---- what libconfuse gets ------------------------------------------------------------------ */

static void
emit(struct scan *scan, struct buf *out, const struct scan_token *token)
{
    if (out->len == 0)
        scan->chunk_line = scan->out_line = token->line;
    for (; scan->out_line < token->line; scan->out_line++)
        buf_add_char(out, '\n');
    buf_add_char(out, ' ');
    if (token->kind != SCAN_WORD || token->quoted) {
        buf_add_str(out, token->text);
        for (size_t i = 0; i < token->text.len; i++)
            scan->out_line += token->text.ptr[i] == '\n';
        return;
    }
    buf_add_char(out, '"');
    for (size_t i = 0; i < token->text.len; i++) {
        if (token->text.ptr[i] == '\\' || token->text.ptr[i] == '"')
            buf_add_char(out, '\\');
        buf_add_char(out, token->text.ptr[i]);
    }
    buf_add_char(out, '"');
}

static void
emit_close(struct scan *scan, struct buf *out)
{
    buf_add_str(out, STR(" }"));
    scan->depth--;
}

/* ---- statements ---------------------------------------------------------------------------- */

static int
kind_here(const struct scan *scan)
{
    return scan->depth > 0 ? scan->open[scan->depth - 1].kind : CONF_NONE;
}

static const char *
label_here(const struct scan *scan)
{
    const struct scan_open *open = &scan->open[scan->depth - 1];
    struct raw_section section = {.kind = (enum conf_section_kind)open->kind, .title = open->title};

    return section_label(&section);
}

/* On to the next line, or to the brace that closes the section. */
static void
line_skip(struct scan *scan, uint32_t line)
{
    while (scan->token.kind != SCAN_END && scan->token.line <= line && !token_is_punct(scan, '}'))
        token_advance(scan);
}

/* Over a block, from its opening brace to its closing one. */
static void
block_skip(struct scan *scan, uint32_t line)
{
    size_t depth = 0;

    do {
        depth += token_is_punct(scan, '{');
        depth -= token_is_punct(scan, '}');
        token_advance(scan);
    } while (depth > 0 && scan->token.kind != SCAN_END);
    if (depth > 0)
        SYNTAX_FAULT(scan, line, "syntax: this is never closed: \"}\" is missing");
}

static void
name_fault(struct scan *scan, const struct scan_token *token)
{
    struct str name = token_name(token);
    struct nearest nearest = {STR_NONE, 0};
    int here = kind_here(scan);
    const struct conf_section *section;

    for (int kind = 0; kind < CONF_SECTION_COUNT; kind++)
        if (conf_sections[kind].parent == here)
            nearest_try(&nearest, name, str_from(conf_sections[kind].name));
    if (here == CONF_NONE) {
        nearest_try(&nearest, name, STR(SCAN_INCLUDE));
        load_fault(scan->load, place_of(scan, token->line), "unknown section \"%.*s\"%s",
                   STR_ARGS(name), nearest_hint(&nearest));
        return;
    }
    section = &conf_sections[here];
    for (size_t i = 0; i < section->key_count; i++)
        nearest_try(&nearest, name, str_from(section->keys[i].name));
    for (int kind = 0; kind < CONF_SECTION_COUNT && nearest.best.ptr == NULL; kind++)
        if (conf_key_find(&conf_sections[kind], name) != NULL) {
            load_fault(scan->load, place_of(scan, token->line),
                       "unknown name \"%.*s\" in %s; it belongs in %s", STR_ARGS(name),
                       label_here(scan), conf_sections[kind].name);
            return;
        }
    load_fault(scan->load, place_of(scan, token->line), "unknown name \"%.*s\" in %s%s",
               STR_ARGS(name), label_here(scan), nearest_hint(&nearest));
}

/* A key where no section is open. */
static void
outside_fault(struct scan *scan, const struct scan_token *token)
{
    struct str name = token_name(token);

    for (int kind = 0; kind < CONF_SECTION_COUNT; kind++)
        if (conf_key_find(&conf_sections[kind], name) != NULL) {
            load_fault(scan->load, place_of(scan, token->line),
                       "\"%.*s\" stands outside of any section; it belongs in %s", STR_ARGS(name),
                       conf_sections[kind].name);
            return;
        }
    load_fault(scan->load, place_of(scan, token->line),
               "unknown name \"%.*s\" outside of any section", STR_ARGS(name));
}

/* The token is the name of a statement and not one more item: told by what follows it. */
static bool
statement_starts(const struct scan *scan)
{
    struct scan ahead = *scan;

    if (scan->token.kind != SCAN_WORD)
        return scan->token.kind == SCAN_END;
    token_advance(&ahead);
    if (token_is_assignment(&ahead))
        return true;
    if (ahead.token.kind == SCAN_WORD)
        token_advance(&ahead);
    return token_is_punct(&ahead, '{');
}

/*
 * The items of a list, from behind its brace to behind the closing one, or to where that must
 * have been forgotten. Returns whether the list is whole.
 */
static bool
list_take(struct scan *scan, struct buf *out, const struct scan_token *name, size_t *count)
{
    struct str text = token_name(name);
    uint32_t line = name->line; /* of the item before */
    bool whole = true;

    for (*count = 0; !token_is_punct(scan, '}');) {
        if (scan->token.kind != SCAN_WORD && scan->token.kind != SCAN_END &&
            scan->token.line == line) {
            UNEXPECTED_FAULT(scan);
            whole = false;
            token_advance(scan);
            continue;
        }
        line = scan->token.line;
        if (scan->token.kind != SCAN_WORD || (line > name->line && statement_starts(scan))) {
            SYNTAX_FAULT(scan, name->line,
                         "syntax: the list of \"%.*s\" is never closed: \"}\" is missing",
                         STR_ARGS(text));
            line_skip(scan, name->line);
            return false;
        }
        whole = whole && !scan->token.broken;
        emit(scan, out, &scan->token);
        token_advance(scan);
        ++*count;
        if (token_is_punct(scan, ',')) {
            emit(scan, out, &scan->token);
            token_advance(scan);
        } else if (scan->token.kind == SCAN_WORD && !statement_starts(scan)) {
            SYNTAX_FAULT(scan, line, "syntax: \",\" is missing in the list of \"%.*s\"",
                         STR_ARGS(text));
            whole = false;
        }
    }
    emit(scan, out, &scan->token);
    token_advance(scan);
    return whole;
}

/*
 * A value, from behind the "=". Returns whether it may go to libconfuse. When the value is missing
 * and the next statement's name stood in its place, *name becomes that.
 */
static bool
value_take(struct scan *scan, struct buf *out, const struct conf_key *key, struct scan_token *name,
           bool *next_named)
{
    struct str text = token_name(name);
    struct scan_token word = scan->token;
    size_t count;

    if (token_is_punct(scan, '{')) {
        emit(scan, out, &scan->token);
        token_advance(scan);
        if (!list_take(scan, out, name, &count))
            return false;
        if (count == 0 && key != NULL && !key->empty_ok)
            load_fault(scan->load, place_of(scan, word.line),
                       "%.*s: the list is empty; leave the key out instead", STR_ARGS(text));
        return count > 0;
    }
    if (word.kind != SCAN_WORD) {
        SYNTAX_FAULT(scan, name->line, "syntax: the value of \"%.*s\" is missing", STR_ARGS(text));
        line_skip(scan, name->line);
        return false;
    }
    emit(scan, out, &word);
    token_advance(scan);
    if (!token_is_assignment(scan))
        return !word.broken;
    if (word.line == name->line &&
        (word.quoted ||
         conf_key_find(&conf_sections[MAX(kind_here(scan), 0)], word.text) == NULL)) {
        UNEXPECTED_FAULT(scan);
        line_skip(scan, word.line);
        return false;
    }
    SYNTAX_FAULT(scan, name->line, "syntax: the value of \"%.*s\" is missing", STR_ARGS(text));
    *name = word;
    *next_named = true;
    return false;
}

/* From the "=" on. As value_take(). */
static void
option_take(struct scan *scan, struct buf *out, struct scan_token *name, bool *next_named)
{
    size_t out_len = out->len;
    uint32_t out_line = scan->out_line;
    const struct conf_key *key = NULL;
    bool keep;

    if (scan->depth == 0)
        outside_fault(scan, name);
    else
        key = conf_key_find(&conf_sections[kind_here(scan)], token_name(name));
    if (scan->depth > 0 && key == NULL)
        name_fault(scan, name);
    emit(scan, out, name);
    emit(scan, out, &scan->token);
    token_advance(scan);
    keep = value_take(scan, out, key, name, next_named);
    if (key == NULL || !keep) {
        out->len = out_len;
        scan->out_line = out_line;
    }
}

static void
section_open(struct scan *scan, struct buf *out, int kind, const struct scan_token *name,
             const struct scan_token *title)
{
    struct str title_text = title->kind == SCAN_WORD ? token_name(title) : STR("");

    ASSERT(scan->depth < SCAN_DEPTH_MAX);
    scan->open[scan->depth++] =
        (struct scan_open){.kind = kind, .title = title_text, .line = name->line};
    emit(scan, out, name);
    if (title->kind == SCAN_WORD)
        emit(scan, out, title);
    emit(scan, out, &scan->token); /* the brace */
    buf_add_fmt(out, " \"" SCAN_MARK "\" = \"%u\"", name->line);
    token_advance(scan);
}

/* The kind that a section of that name has here. One that cannot stand here but at the top level
 * shows that the brace of the section before it is missing. */
static int
section_kind(struct scan *scan, struct buf *out, const struct scan_token *name)
{
    struct str text = token_name(name);
    int kind = conf_section_find(kind_here(scan), text);

    if (kind != CONF_NONE || scan->depth == 0 || conf_section_find(CONF_NONE, text) == CONF_NONE)
        return kind;
    SYNTAX_FAULT(scan, name->line,
                 "syntax: %s of line %u is not closed before this: \"}\" is missing",
                 label_here(scan), scan->open[scan->depth - 1].line);
    while (scan->depth > 0)
        emit_close(scan, out);
    return conf_section_find(CONF_NONE, text);
}

static bool
brace_follows(const struct scan *scan)
{
    struct scan ahead = *scan;

    token_advance(&ahead);
    return token_is_punct(&ahead, '{');
}

/* From behind the name: a title or a brace. */
static void
section_take(struct scan *scan, struct buf *out, const struct scan_token *name)
{
    struct str text = token_name(name);
    struct scan_token title = {.kind = SCAN_END};
    int kind;

    if (scan->token.kind == SCAN_WORD && !scan->token.broken && brace_follows(scan)) {
        title = scan->token;
        token_advance(scan);
    }
    if (!token_is_punct(scan, '{')) {
        SYNTAX_FAULT(scan, name->line, "syntax: \"%s\" is missing after \"%.*s\"",
                     conf_section_find(kind_here(scan), text) != CONF_NONE ? "{" : "=",
                     STR_ARGS(text));
        while (scan->token.kind == SCAN_WORD && scan->token.line == name->line)
            token_advance(scan);
        if (token_is_punct(scan, '{'))
            block_skip(scan, name->line);
        else
            line_skip(scan, name->line);
        return;
    }
    kind = section_kind(scan, out, name);
    if (kind == CONF_NONE) {
        name_fault(scan, name);
    } else if (conf_sections[kind].titled == (title.kind == SCAN_WORD)) {
        section_open(scan, out, kind, name, &title);
        return;
    } else {
        SYNTAX_FAULT(scan, name->line,
                     conf_sections[kind].titled
                         ? "syntax: %s needs a name in quotes before its \"{\""
                         : "syntax: %s takes no name",
                     conf_sections[kind].name);
    }
    block_skip(scan, name->line);
}

/* From the parenthesis on. Returns whether an include() was written to *out. */
static bool
call_take(struct scan *scan, struct buf *out, const struct scan_token *name)
{
    struct scan_token open = scan->token, file;

    token_advance(scan);
    file = scan->token;
    if (file.kind == SCAN_WORD)
        token_advance(scan);
    if (!str_eq(token_name(name), STR(SCAN_INCLUDE)) || file.kind != SCAN_WORD ||
        !token_is_punct(scan, ')')) {
        SYNTAX_FAULT(scan, name->line, "syntax: only include(\"FILE\") takes parentheses");
        line_skip(scan, name->line);
        return false;
    }
    if (scan->depth > 0) {
        load_fault(scan->load, place_of(scan, name->line),
                   "include() inside of %s; it stands outside of sections only", label_here(scan));
        token_advance(scan);
        return false;
    }
    emit(scan, out, name);
    emit(scan, out, &open);
    emit(scan, out, &file);
    emit(scan, out, &scan->token);
    token_advance(scan);
    return true;
}

/* A statement from its name on. Returns whether an include() was written to *out. */
static bool
statement_take(struct scan *scan, struct buf *out)
{
    struct scan_token name = scan->token;
    bool next_named;

    token_advance(scan);
    do {
        next_named = false;
        if (name.broken)
            line_skip(scan, name.line);
        else if (token_is_assignment(scan))
            option_take(scan, out, &name, &next_named);
        else if (scan->token.kind == SCAN_WORD || token_is_punct(scan, '{'))
            section_take(scan, out, &name);
        else if (token_is_punct(scan, '('))
            return call_take(scan, out, &name);
        else {
            SYNTAX_FAULT(scan, name.line, "syntax: \"=\" is missing after \"%.*s\"",
                         STR_ARGS(token_name(&name)));
            line_skip(scan, name.line);
        }
    } while (next_named);
    return false;
}

static void
unclosed_close(struct scan *scan, struct buf *out)
{
    while (scan->depth > 0) {
        SYNTAX_FAULT(scan, scan->open[scan->depth - 1].line,
                     "syntax: %s is never closed: \"}\" is missing", label_here(scan));
        emit_close(scan, out);
    }
}

void
scan_init(struct scan *scan, struct load *load, uint32_t file_idx, struct str text)
{
    *scan = (struct scan){.load = load, .file_idx = file_idx, .text = text, .line = 1};
    if (str_starts_with(text, STR("\xef\xbb\xbf")))
        scan->at = 3;
    token_advance(scan);
}

enum scan_pause
scan_next(struct scan *scan, struct buf *out)
{
    ASSERT(out->len == 0);
    while (scan->token.kind != SCAN_END) {
        if (scan->depth == 0 && out->len > 0)
            return SCAN_SECTION;
        if (scan->token.kind == SCAN_WORD) {
            if (statement_take(scan, out))
                return SCAN_FILE;
        } else if (token_is_punct(scan, '}') && scan->depth > 0) {
            emit(scan, out, &scan->token);
            scan->depth--;
            token_advance(scan);
        } else {
            SYNTAX_FAULT(scan, scan->token.line,
                         token_is_punct(scan, '}') ? "syntax: this \"%.*s\" closes nothing"
                                             : "syntax: unexpected \"%.*s\"",
                         STR_ARGS(scan->token.text));
            token_advance(scan);
        }
    }
    unclosed_close(scan, out);
    return out->len > 0 ? SCAN_SECTION : SCAN_DONE;
}
