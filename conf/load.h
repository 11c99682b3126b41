/*
 * One run of the loader: the memory that becomes the snapshot's, the faults found so far, and
 * what stands in the file before anybody looked at its meaning. Inside of conf/ only.
 */
#ifndef CONF_LOAD_H
#define CONF_LOAD_H

#include "base/arena.h"
#include "base/base.h"
#include "base/nearest.h"
#include "conf/conf.h"
#include "conf/table.h"

/* Names to indexes, made once: open addressing, never full. */
struct conf_map {
    struct conf_map_entry *entries;
    size_t mask;
};

struct conf_memory {
    struct arena arena;
    struct conf_map models; /* by name and alias */
    struct conf_map autos;
    struct conf_map channels;
    struct conf_map upstreams;
};

/* A time zone that was read. */
struct load_zone {
    struct load_zone *next;
    struct str name;
    struct zone zone;
};

struct place {
    uint32_t file_idx;
    uint32_t line;
};

struct raw_value {
    struct raw_value *next;
    struct str text;
    struct place at;
};

struct raw_option {
    struct raw_option *next;
    const struct conf_key *key;
    struct place at; /* of its first value */
    struct raw_value *values;
    struct raw_value *last;
    size_t value_count;
};

struct raw_section {
    struct raw_section *next; /* sibling */
    struct raw_section *children;
    enum conf_section_kind kind;
    struct str title;
    struct place at;
    struct raw_option *options;
    bool damaged; /* a fault of grammar took some of its statements away */
    size_t index; /* among its kind in the snapshot, once built */
};

#define LOAD_FILE_COUNT_MAX 64
#define LOAD_BYTES_MAX (4u << 20) /* of all files together */

struct load {
    struct conf *conf;
    struct conf_faults *faults;
    const struct conf *running; /* what it takes the place of, or NULL */
    bool from_text;      /* no file may be opened, no secret looked for */
    unsigned bad_syntax; /* faults of grammar so far: parts of the file are missing from sections */
    bool no_memory;
    const char *files[LOAD_FILE_COUNT_MAX];
    size_t file_count;
    struct raw_section *sections; /* in file order */
    struct raw_section *sections_last;
    struct load_zone *zones;
};

void load_fault(struct load *load, struct place at, const char *fmt, ...) PRINTF_LIKE(3, 4);
void load_warning(struct load *load, struct place at, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* An empty snapshot; NULL when out of memory. */
struct conf *conf_new(void) MUST_CHECK;

/* From the snapshot's arena, zeroed; NULL sets no_memory. */
void *load_alloc(struct load *load, size_t len) MUST_CHECK;
/* A NUL-terminated copy; STR_NONE when out of memory. */
struct str load_copy(struct load *load, struct str s);

/* The option of that name in the section, or NULL. */
const struct raw_option *raw_option(const struct raw_section *section, const char *name);
/* Where a key stands, or where its section starts. */
struct place raw_place(const struct raw_section *section, const char *name);

/* Another place as a fault at `here` names it: "line 3", or "FILE:3"; in one of two static buffers.
 */
const char *place_text(const struct load *load, struct place here, struct place there);

/* `upstream "a"`, for messages; the text is in one of four static buffers. */
const char *section_label(const struct raw_section *section);

/* Reads path (or text) and all it includes into load->sections. */
void read_file(struct load *load, const char *path);
void read_text(struct load *load, const char *name, struct str text);

bool map_make(struct load *load, struct conf_map *map, size_t name_count) MUST_CHECK;
/* CONF_NONE when put, else the index that has the name already. */
int map_put(struct conf_map *map, struct str name, uint16_t idx);
int map_get(const struct conf_map *map, struct str name);

#endif
