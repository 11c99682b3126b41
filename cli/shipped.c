#include "cli/shipped.h"

#include <stdio.h>
#include <string.h>

#include "base/str.h"

/* The Makefile has this file depend on them. */
__asm__(".pushsection .rodata\n"
        "shipped_routes_bytes: .incbin \"routes.conf\"\n"
        "shipped_routes_end: .byte 0\n"
        "shipped_models_bytes: .incbin \"models.conf\"\n"
        "shipped_models_end: .byte 0\n"
        ".globl shipped_routes_bytes, shipped_routes_end, shipped_models_bytes, shipped_models_end\n"
        ".hidden shipped_routes_bytes, shipped_routes_end, shipped_models_bytes, shipped_models_end\n"
        "shipped_bash_bytes: .incbin \"dist/completion/turnpike.bash\"\n .byte 0\n"
        "shipped_zsh_bytes: .incbin \"dist/completion/_turnpike\"\n .byte 0\n"
        "shipped_fish_bytes: .incbin \"dist/completion/turnpike.fish\"\n .byte 0\n"
        ".globl shipped_bash_bytes, shipped_zsh_bytes, shipped_fish_bytes\n"
        ".hidden shipped_bash_bytes, shipped_zsh_bytes, shipped_fish_bytes\n"
        ".popsection\n");

#define HIDDEN __attribute__((visibility("hidden")))
extern const char shipped_routes_bytes[] HIDDEN, shipped_routes_end[] HIDDEN;
extern const char shipped_models_bytes[] HIDDEN, shipped_models_end[] HIDDEN;

extern const char shipped_bash_bytes[] HIDDEN, shipped_zsh_bytes[] HIDDEN,
    shipped_fish_bytes[] HIDDEN;

#define CHAPTER_MARK "# ---- "

struct str
shipped_routes(void)
{
    return (struct str){shipped_routes_bytes, (size_t)(shipped_routes_end - shipped_routes_bytes)};
}

struct str
shipped_models(void)
{
    return (struct str){shipped_models_bytes, (size_t)(shipped_models_end - shipped_models_bytes)};
}

struct str
shipped_completion(const char *shell)
{
    return str_from(strcmp(shell, "bash") == 0  ? shipped_bash_bytes
                    : strcmp(shell, "zsh") == 0 ? shipped_zsh_bytes
                                                : shipped_fish_bytes);
}

static struct str
line_take(struct str *text)
{
    return str_split(*text, '\n', text);
}

static bool
is_head(struct str line, const char *kind, const char *name)
{
    char begin[128];
    struct str rest = line;
    int n = snprintf(begin, sizeof(begin), "%s \"%s", kind, name);

    ASSERT(n > 0 && (size_t)n < sizeof(begin));
    if (!str_starts_with(line, str_from(begin)))
        return false;
    rest.ptr += n;
    rest.len -= (size_t)n;
    return rest.len > 0 && (rest.ptr[0] == '"' || rest.ptr[0] == '-');
}

struct str
shipped_section(struct str *text, const char *kind, const char *name)
{
    while (text->ptr != NULL) {
        const char *from = text->ptr;
        struct str line = line_take(text);

        if (!is_head(line, kind, name))
            continue;
        while (!str_eq(line, STR("}")) && text->ptr != NULL)
            line = line_take(text);
        return (struct str){from, (size_t)(line.ptr + line.len - from)};
    }
    return STR_NONE;
}

struct str
shipped_chapter(const char *heading)
{
    struct str text = shipped_models(), line;
    const char *from = NULL;

    while (text.ptr != NULL) {
        const char *at = text.ptr;

        line = line_take(&text);
        if (!str_starts_with(line, STR(CHAPTER_MARK)))
            continue;
        if (from != NULL)
            return (struct str){from, (size_t)(at - from)};
        line.ptr += strlen(CHAPTER_MARK);
        line.len -= strlen(CHAPTER_MARK);
        if (str_starts_with(line, str_from(heading)))
            from = at;
    }
    return from != NULL ? (struct str){from, (size_t)(shipped_models_end - from)} : STR_NONE;
}
