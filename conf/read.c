/*
 * Files and libconfuse: what is on disk becomes load->sections, values still as text.
 *
 * The scanner (conf/scan.h) hands over the text a top-level statement at a time; libconfuse parses
 * each and calls back with every value, decoded, and the line it stands in. All keys are declared
 * as lists of strings, so that typing, bounds and messages are ours and no value stops the parse.
 * A section shows that it begins by its mark, which comes before all its values.
 *
 * libconfuse's callbacks carry no argument and its lexer is global: reader_now is the one reader
 * at work.
 */
#include "conf/load.h"

#include <confuse.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/str.h"
#include "conf/scan.h"

#define INCLUDE_DEPTH_MAX 8
#define OPTIONS_MAX 40 /* keys and sections of one section, the mark and the end */

struct source {
    struct scan scan;
    char *text;
    dev_t dev;
    ino_t ino;
};

struct reader {
    struct load *load;
    cfg_t *cfg;
    struct source sources[INCLUDE_DEPTH_MAX];
    size_t depth;
    size_t bytes; /* of all files so far */
    /* Of the chunk that is being parsed. */
    uint32_t file_idx;
    uint32_t chunk_line;
    const cfg_t *top_cfg, *child_cfg;
    struct raw_section *top, *child;
    const cfg_opt_t *repeated; /* an option given twice: its further values are not kept */
    char *include;             /* the file that the include() of the chunk names */
};
static struct reader *reader_now;

static struct place
place_now(const cfg_t *cfg)
{
    uint32_t line = cfg->line > 0 ? (uint32_t)cfg->line - 1 : 0;

    return (struct place){reader_now->file_idx, reader_now->chunk_line + line};
}

/* ---- libconfuse's callbacks ---------------------------------------------------------------- */

static void
section_begin(const cfg_t *cfg, const char *line)
{
    struct reader *reader = reader_now;
    struct load *load = reader->load;
    int kind = conf_section_find(CONF_NONE, str_from(cfg->name));
    bool is_child = kind == CONF_NONE;
    struct raw_section *section = load_alloc(load, sizeof(*section)), **end;

    if (is_child)
        kind = conf_section_find((int)reader->top->kind, str_from(cfg->name));
    ASSERT(kind != CONF_NONE);
    if (section == NULL)
        return;
    section->kind = (enum conf_section_kind)kind;
    section->title = load_copy(load, cfg->title != NULL ? str_from(cfg->title) : STR(""));
    section->at = (struct place){reader->file_idx, (uint32_t)strtoul(line, NULL, 10)};
    if (is_child) {
        for (end = &reader->top->children; *end != NULL;)
            end = &(*end)->next;
        *end = section;
        reader->child = section;
        reader->child_cfg = cfg;
        return;
    }
    if (load->sections == NULL)
        load->sections = section;
    else
        load->sections_last->next = section;
    load->sections_last = section;
    reader->top = section;
    reader->top_cfg = cfg;
    reader->child_cfg = NULL;
}

static struct raw_option *
option_add(struct load *load, struct raw_section *section, const struct conf_key *key,
           struct place at)
{
    struct raw_option *option = load_alloc(load, sizeof(*option)), **end = &section->options;

    if (option == NULL)
        return NULL;
    option->key = key;
    option->at = at;
    while (*end != NULL)
        end = &(*end)->next;
    *end = option;
    return option;
}

static struct raw_option *
option_for(struct raw_section *section, const cfg_t *cfg, const cfg_opt_t *opt)
{
    struct reader *reader = reader_now;
    const struct conf_key *key = conf_key_find(&conf_sections[section->kind], str_from(opt->name));
    struct raw_option *option = section->options;

    ASSERT(key != NULL);
    while (option != NULL && option->key != key)
        option = option->next;
    if (option == NULL)
        return option_add(reader->load, section, key, place_now(cfg));
    /* "=" emptied the option before this value, "+=" did not. */
    if (opt->nvalues == 1) {
        reader->repeated = opt;
        load_fault(reader->load, place_now(cfg), "\"%s\" is given twice in %s; first in line %u",
                   key->name, section_label(section), option->at.line);
    }
    return option;
}

static int
on_value(cfg_t *cfg, cfg_opt_t *opt, const char *text, void *result)
{
    struct reader *reader = reader_now;
    struct raw_section *section = cfg == reader->child_cfg ? reader->child : reader->top;
    struct raw_option *option;
    struct raw_value *value;

    *(const char **)result = ""; /* libconfuse's own copy is of no use */
    if (strcmp(opt->name, SCAN_MARK) == 0) {
        section_begin(cfg, text);
        return reader->load->no_memory;
    }
    ASSERT(cfg == reader->child_cfg || cfg == reader->top_cfg);
    if (opt->nvalues == 1)
        reader->repeated = NULL;
    option = option_for(section, cfg, opt);
    value = load_alloc(reader->load, sizeof(*value));
    if (option == NULL || value == NULL)
        return 1;
    if (reader->repeated == opt)
        return 0;
    *value =
        (struct raw_value){.text = load_copy(reader->load, str_from(text)), .at = place_now(cfg)};
    if (option->values == NULL)
        option->values = value;
    else
        option->last->next = value;
    option->last = value;
    option->value_count++;
    return reader->load->no_memory;
}

static int
on_include(cfg_t *cfg, cfg_opt_t *opt, int argc, const char **argv)
{
    (void)cfg;
    (void)opt;
    ASSERT(argc == 1 && reader_now->include == NULL);
    reader_now->include = strdup(argv[0]);
    return reader_now->include == NULL;
}

static void
on_error(cfg_t *cfg, const char *fmt, va_list args)
{
    char text[256];

    vsnprintf(text, sizeof(text), fmt, args);
    reader_now->load->bad_syntax++;
    load_fault(reader_now->load, place_now(cfg), "syntax: %s", text);
}

/* ---- the declaration of what may come ------------------------------------------------------ */

static size_t
declare_keys(const struct conf_section *section, cfg_opt_t *opts)
{
    size_t count = 0;

    ASSERT(section->key_count + 3 < OPTIONS_MAX);
    opts[count++] = (cfg_opt_t)CFG_STR_LIST_CB(SCAN_MARK, NULL, CFGF_NODEFAULT, on_value);
    for (size_t i = 0; i < section->key_count; i++)
        opts[count++] =
            (cfg_opt_t)CFG_STR_LIST_CB(section->keys[i].name, NULL, CFGF_NODEFAULT, on_value);
    return count;
}

static cfg_t *
declare(void)
{
    static const cfg_opt_t end = CFG_END();
    cfg_opt_t opts[CONF_SECTION_COUNT][OPTIONS_MAX], top[CONF_SECTION_COUNT + 2];
    size_t counts[CONF_SECTION_COUNT], top_count = 0;

    for (int kind = 0; kind < CONF_SECTION_COUNT; kind++)
        counts[kind] = declare_keys(&conf_sections[kind], opts[kind]);
    for (int kind = 0; kind < CONF_SECTION_COUNT; kind++) {
        const struct conf_section *section = &conf_sections[kind];
        cfg_flag_t flags = CFGF_MULTI | (section->titled ? CFGF_TITLE : CFGF_NONE);
        cfg_opt_t opt = CFG_SEC(section->name, opts[kind], flags);

        if (section->parent == CONF_NONE)
            top[top_count++] = opt;
        else
            opts[section->parent][counts[section->parent]++] = opt;
    }
    for (int kind = 0; kind < CONF_SECTION_COUNT; kind++)
        opts[kind][counts[kind]] = end;
    top[top_count++] = (cfg_opt_t)CFG_FUNC(SCAN_INCLUDE, on_include);
    top[top_count] = end;
    return cfg_init(top, CFGF_NONE);
}

/* ---- files --------------------------------------------------------------------------------- */

static bool
file_add(struct load *load, const char *name, uint32_t *file_idx)
{
    struct str copy = load_copy(load, str_from(name));

    if (copy.ptr == NULL || load->file_count == LOAD_FILE_COUNT_MAX)
        return false;
    *file_idx = (uint32_t)load->file_count;
    load->files[load->file_count++] = copy.ptr;
    return true;
}

/* The open file's text in *source. NULL, or what is wrong. */
static const char *
file_text(struct reader *reader, int fd, struct source *source, size_t *len)
{
    size_t room = LOAD_BYTES_MAX - reader->bytes;
    struct stat st;
    ssize_t got;

    if (fstat(fd, &st) != 0)
        return strerror(errno);
    source->dev = st.st_dev;
    source->ino = st.st_ino;
    for (size_t i = 0; i < reader->depth; i++)
        if (reader->sources[i].dev == st.st_dev && reader->sources[i].ino == st.st_ino)
            return "it includes itself";
    source->text = malloc(room + 1);
    if (source->text == NULL)
        return strerror(ENOMEM);
    for (*len = 0; *len <= room; *len += (size_t)got) {
        got = read(fd, source->text + *len, room + 1 - *len);
        if (got < 0)
            return strerror(errno);
        if (got == 0)
            return NULL;
    }
    return "larger than 4 MiB, with all that is included";
}

/* Each text with the hash of those before it. */
static void
text_hash_add(struct load *load, struct str text)
{
    uint64_t before = load->conf->text_hash;
    uint8_t hash[HASH_LEN];

    hash_pair((struct str){(const char *)&before, sizeof(before)}, text, hash);
    memcpy(&load->conf->text_hash, hash, sizeof(load->conf->text_hash));
}

static void
source_close(struct reader *reader)
{
    struct source *source = &reader->sources[--reader->depth];

    free(source->text);
    *source = (struct source){0};
}

static const char *
unread_hint(int error, bool included)
{
    if (error == EACCES)
        return "; the server's user must be able to read it";
    if (error != ENOENT)
        return "";
    return included ? "; a name without / in front is looked for beside this file"
                    : "; name one with -c, or install the sample routes.conf";
}

/* Puts a file on the stack; what is wrong with it is a fault at `at`, or in its own first line. */
static void
source_open(struct reader *reader, const char *path, const struct place *at)
{
    struct load *load = reader->load;
    struct source *source = &reader->sources[reader->depth];
    struct place own = {0, 1};
    /* A start may read a pipe, and wait for it; a running server must not. */
    int wait = load->running == NULL ? 0 : O_NONBLOCK;
    const char *why = NULL;
    size_t len = 0;
    int fd = -1, error = 0;

    if (reader->depth == INCLUDE_DEPTH_MAX)
        why = "includes are nested too deeply";
    else if ((fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | wait)) < 0)
        why = strerror(error = errno);
    else
        why = file_text(reader, fd, source, &len);
    if (fd >= 0)
        close(fd);
    if (why == NULL && !file_add(load, path, &own.file_idx))
        why = load->no_memory ? strerror(ENOMEM) : "too many files";
    if (why != NULL) {
        load->bad_syntax++;
        load_fault(load, at != NULL ? *at : own, "cannot read %s: %s%s", path, why,
                   unread_hint(error, at != NULL));
        if (reader->depth < INCLUDE_DEPTH_MAX) {
            free(source->text);
            *source = (struct source){0};
        }
        return;
    }
    text_hash_add(load, (struct str){source->text, len});
    reader->bytes += len;
    reader->depth++;
    scan_init(&source->scan, load, own.file_idx, (struct str){source->text, len});
}

/* The include() that was just parsed: relative names are relative to the file they stand in. */
static void
include_open(struct reader *reader)
{
    const char *from = reader->load->files[reader->file_idx];
    const char *slash = strrchr(from, '/');
    struct place at = {reader->file_idx, reader->chunk_line};
    char path[4096];
    int len;

    if (reader->load->from_text) {
        load_fault(reader->load, at, "include() cannot be used here");
        return;
    }
    if (reader->include[0] == '/' || slash == NULL)
        len = snprintf(path, sizeof(path), "%s", reader->include);
    else
        len = snprintf(path, sizeof(path), "%.*s/%s", (int)(slash - from), from, reader->include);
    if (len >= (int)sizeof(path) || reader->include[0] == '\0') {
        load_fault(reader->load, at, "include() needs the name of a file");
        return;
    }
    source_open(reader, path, &at);
}

static bool
cfg_make(struct reader *reader)
{
    reader->cfg = declare();
    if (reader->cfg == NULL) {
        reader->load->no_memory = true;
        return false;
    }
    cfg_set_error_function(reader->cfg, on_error);
    return true;
}

static void
chunk_parse(struct reader *reader, struct buf *out)
{
    size_t faults = reader->load->faults->fault_count;

    buf_add_char(out, '\0');
    if (out->failed)
        return;
    reader->top = NULL;
    reader->top_cfg = reader->child_cfg = NULL;
    if (cfg_parse_buf(reader->cfg, out->ptr) == CFG_SUCCESS)
        return;
    reader->load->bad_syntax++;
    if (reader->load->faults->fault_count == faults)
        load_fault(reader->load, (struct place){reader->file_idx, reader->chunk_line},
                   "syntax: this section cannot be read");
    /* The lexer may have stopped inside of a string and would go on there: only the end of its
     * last user starts it anew. */
    cfg_free(reader->cfg);
    cfg_make(reader);
}

static void
damage_mark(struct raw_section *first)
{
    for (struct raw_section *section = first; section != NULL; section = section->next) {
        section->damaged = true;
        for (struct raw_section *child = section->children; child != NULL; child = child->next)
            child->damaged = true;
    }
}

static void
read_sources(struct reader *reader)
{
    struct buf out;

    while (reader->depth > 0 && !reader->load->no_memory) {
        struct source *source = &reader->sources[reader->depth - 1];
        unsigned bad_syntax = reader->load->bad_syntax;
        const struct raw_section *last = reader->load->sections_last;
        enum scan_pause pause;

        buf_init(&out, (size_t)8 * LOAD_BYTES_MAX);
        pause = scan_next(&source->scan, &out);
        reader->file_idx = source->scan.file_idx;
        reader->chunk_line = source->scan.chunk_line;
        if (pause == SCAN_DONE)
            source_close(reader);
        else
            chunk_parse(reader, &out);
        reader->load->no_memory |= out.failed;
        buf_free(&out);
        if (reader->load->bad_syntax != bad_syntax)
            damage_mark(last != NULL ? last->next : reader->load->sections);
        if (reader->include != NULL) {
            include_open(reader);
            free(reader->include);
            reader->include = NULL;
        }
    }
    while (reader->depth > 0)
        source_close(reader);
}

static bool
reader_begin(struct reader *reader, struct load *load)
{
    *reader = (struct reader){.load = load};
    ASSERT(reader_now == NULL);
    if (!cfg_make(reader))
        return false;
    reader_now = reader;
    return true;
}

static void
reader_end(struct reader *reader)
{
    if (reader->cfg != NULL)
        cfg_free(reader->cfg);
    reader_now = NULL;
}

void
read_file(struct load *load, const char *path)
{
    struct reader reader;

    load->files[0] = path; /* for a fault before it is open */
    if (!reader_begin(&reader, load))
        return;
    source_open(&reader, path, NULL);
    read_sources(&reader);
    reader_end(&reader);
}

void
read_text(struct load *load, const char *name, struct str text)
{
    struct reader reader;
    uint32_t file_idx;

    load->files[0] = name;
    if (text.len > LOAD_BYTES_MAX) {
        load_fault(load, (struct place){0, 1}, "larger than 4 MiB");
        return;
    }
    if (!reader_begin(&reader, load))
        return;
    if (file_add(load, name, &file_idx)) {
        scan_init(&reader.sources[0].scan, load, file_idx, text);
        reader.depth = 1;
        read_sources(&reader);
    }
    reader_end(&reader);
}
