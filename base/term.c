#include "base/term.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/str.h"

#define WIDTH_DEFAULT 80
#define HEIGHT_DEFAULT 24
#define SIZE_MAX_CELLS 10000

static struct {
    bool is_terminal[2], has_color[2]; /* standard output, standard error */
    int tty_fd;                        /* a duplicate of the terminal's; -1: there is none */
} term = {.tty_fd = -1};

static unsigned
index_of(FILE *stream)
{
    return stream == stderr ? 1 : 0;
}

void
term_init(void)
{
    for (int i = 0; i < 2; i++)
        term.is_terminal[i] = isatty(i + 1) == 1;
    if (term.tty_fd < 0 && term.is_terminal[0])
        term.tty_fd = dup(1);
    if (!term_color("auto"))
        ASSERT(!"it is one of the words");
}

bool
term_color(const char *when)
{
    const char *no_color = getenv("NO_COLOR"), *kind = getenv("TERM");
    bool may = (no_color == NULL || no_color[0] == '\0') && kind != NULL && strcmp(kind, "dumb") != 0;
    bool always = strcmp(when, "always") == 0;

    if (!always && strcmp(when, "never") != 0 && strcmp(when, "auto") != 0)
        return false;
    for (int i = 0; i < 2; i++)
        term.has_color[i] = always || (strcmp(when, "auto") == 0 && may && term.is_terminal[i]);
    return true;
}

bool
term_is(FILE *stream)
{
    return term.is_terminal[index_of(stream)];
}

/* The variable where it is a sane number: who sets it means it. */
static unsigned
size_told(const char *name)
{
    const char *text = getenv(name);
    uint64_t n = 0;

    if (text == NULL || !str_to_count(str_from(text), SIZE_MAX_CELLS, &n))
        return 0;
    return (unsigned)n;
}

static bool
size_asked(struct winsize *size)
{
    memset(size, 0, sizeof(*size));
    return term.tty_fd >= 0 && ioctl(term.tty_fd, TIOCGWINSZ, size) == 0;
}

unsigned
term_width(void)
{
    struct winsize size;
    unsigned told = size_told("COLUMNS");

    if (told > 0)
        return told;
    return size_asked(&size) && size.ws_col > 0 ? size.ws_col : WIDTH_DEFAULT;
}

unsigned
term_height(void)
{
    struct winsize size;
    unsigned told = size_told("LINES");

    if (told > 0)
        return told;
    return size_asked(&size) && size.ws_row > 0 ? size.ws_row : HEIGHT_DEFAULT;
}

const char *
term_on(FILE *stream, enum term_paint paint)
{
    static const char *const codes[] = {
        [TERM_PLAIN] = "",          [TERM_HEAD] = "\033[1m",   [TERM_GOOD] = "\033[32m",
        [TERM_WARN] = "\033[33m", [TERM_BAD] = "\033[1;31m",
    };
    _Static_assert(COUNT_OF(codes) == TERM_PAINT_COUNT, "a new paint needs a code");

    return term.has_color[index_of(stream)] ? codes[paint] : "";
}

const char *
term_off(FILE *stream, enum term_paint paint)
{
    return term.has_color[index_of(stream)] && paint != TERM_PLAIN ? "\033[0m" : "";
}
