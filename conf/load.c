#include "conf/load.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/str.h"

/* A file that is wrong in more places than this is not a routes.conf. */
#define FAULT_COUNT_MAX 500
#define MESSAGE_LEN_MAX 1023

struct conf_map_entry {
    struct str name;
    uint16_t idx;
};

static bool
fault_known(const struct conf_faults *faults, const struct conf_fault *fault)
{
    for (size_t i = 0; i < faults->count; i++)
        if (faults->at[i].line == fault->line && strcmp(faults->at[i].file, fault->file) == 0 &&
            strcmp(faults->at[i].message, fault->message) == 0)
            return true;
    return false;
}

static bool
fault_keep(struct conf_faults *faults, const struct conf_fault *fault)
{
    struct conf_fault *grown = realloc(faults->at, (faults->count + 1) * sizeof(*grown));
    char *file, *message;

    if (grown == NULL)
        return false;
    faults->at = grown;
    file = strdup(fault->file);
    message = strdup(fault->message);
    if (file == NULL || message == NULL) {
        free(file);
        free(message);
        return false;
    }
    faults->at[faults->count++] = (struct conf_fault){
        .file = file, .line = fault->line, .warning = fault->warning, .message = message};
    return true;
}

/* Recovery may come over the same lines again, so what was said once is not said twice. A fault
 * that cannot be kept still counts, so the file is refused all the same. */
static void
fault_add(struct load *load, struct place at, bool warning, const char *fmt, va_list args)
{
    struct conf_faults *faults = load->faults;
    char text[MESSAGE_LEN_MAX + 1];
    struct conf_fault fault = {.file = load->files[at.file_idx],
                               .line = MAX(at.line, 1u),
                               .warning = warning,
                               .message = text};

    vsnprintf(text, sizeof(text), fmt, args);
    for (char *c = text; *c != '\0'; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            *c = '?'; /* a fault is one line, whatever the file held */
    if (fault_known(faults, &fault))
        return;
    if (warning)
        faults->warning_count++;
    else
        faults->fault_count++;
    if (faults->count < FAULT_COUNT_MAX && !fault_keep(faults, &fault))
        load->no_memory = true;
}

void
load_fault(struct load *load, struct place at, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    fault_add(load, at, false, fmt, args);
    va_end(args);
}

void
load_warning(struct load *load, struct place at, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    fault_add(load, at, true, fmt, args);
    va_end(args);
}

void
conf_faults_free(struct conf_faults *faults)
{
    for (size_t i = 0; i < faults->count; i++) {
        free((void *)(uintptr_t)faults->at[i].file);
        free((void *)(uintptr_t)faults->at[i].message);
    }
    free(faults->at);
    *faults = (struct conf_faults){0};
}

void *
load_alloc(struct load *load, size_t len)
{
    void *ptr = arena_zalloc(&load->conf->memory->arena, MAX(len, (size_t)1));

    if (ptr == NULL)
        load->no_memory = true;
    return ptr;
}

struct str
load_copy(struct load *load, struct str s)
{
    char *copy = load_alloc(load, s.len + 1);

    if (copy == NULL)
        return STR_NONE;
    if (s.len > 0)
        memcpy(copy, s.ptr, s.len);
    copy[s.len] = '\0';
    return (struct str){copy, s.len};
}

const struct raw_option *
raw_option(const struct raw_section *section, const char *name)
{
    for (const struct raw_option *option = section->options; option != NULL; option = option->next)
        if (strcmp(option->key->name, name) == 0)
            return option;
    return NULL;
}

struct place
raw_place(const struct raw_section *section, const char *name)
{
    const struct raw_option *option = raw_option(section, name);

    return option != NULL ? option->at : section->at;
}

const char *
place_text(const struct load *load, struct place here, struct place there)
{
    static char texts[2][320];
    static unsigned turn;
    char *text = texts[turn++ % COUNT_OF(texts)];

    if (here.file_idx == there.file_idx)
        snprintf(text, sizeof(texts[0]), "line %u", there.line);
    else
        snprintf(text, sizeof(texts[0]), "%.256s:%u", load->files[there.file_idx], there.line);
    return text;
}

const char *
section_label(const struct raw_section *section)
{
    static char texts[4][192];
    static unsigned turn;
    char *text = texts[turn++ % COUNT_OF(texts)];
    const char *name = conf_sections[section->kind].name;

    if (conf_sections[section->kind].titled)
        snprintf(text, sizeof(texts[0]), "%s \"%.*s\"", name,
                 (int)MIN(section->title.len, (size_t)CONF_MODEL_NAME_LEN_MAX), section->title.ptr);
    else
        snprintf(text, sizeof(texts[0]), "%s", name);
    return text;
}

bool
map_make(struct load *load, struct conf_map *map, size_t name_count)
{
    size_t size = 8;

    while (size < name_count * 2)
        size *= 2;
    map->entries = load_alloc(load, size * sizeof(*map->entries));
    map->mask = size - 1;
    return map->entries != NULL;
}

static struct conf_map_entry *
map_find(const struct conf_map *map, struct str name)
{
    size_t slot = hash_u64(name.ptr, name.len) & map->mask;

    while (map->entries[slot].name.ptr != NULL && !str_eq(map->entries[slot].name, name))
        slot = (slot + 1) & map->mask;
    return &map->entries[slot];
}

int
map_put(struct conf_map *map, struct str name, uint16_t idx)
{
    struct conf_map_entry *entry = map_find(map, name);

    if (entry->name.ptr != NULL)
        return entry->idx;
    *entry = (struct conf_map_entry){.name = name, .idx = idx};
    return CONF_NONE;
}

int
map_get(const struct conf_map *map, struct str name)
{
    const struct conf_map_entry *entry;

    if (map->entries == NULL || name.ptr == NULL)
        return CONF_NONE;
    entry = map_find(map, name);
    return entry->name.ptr != NULL ? entry->idx : CONF_NONE;
}
