/*
 * Myers' algorithm over lines: the shortest way from one text to the other, found by how far one comes
 * with d changes on each diagonal, and walked back by what was kept of each d.
 */
#include "ledger/diff.h"

#include "base/str.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define CHANGES_MAX 1000
#define CONTEXT 3u

struct lines {
    struct str *at;
    size_t count;
};

struct differ {
    struct lines a, b;
    size_t head, tail; /* lines that are the same at both ends */
    bool *gone, *new;  /* of a, of b */
};

static int
lines_split(struct str text, struct lines *out)
{
    size_t count = 0, room = 1;

    for (size_t i = 0; i < text.len; i++)
        room += text.ptr[i] == '\n';
    out->at = calloc(room, sizeof(*out->at));
    if (out->at == NULL)
        return -ENOMEM;
    while (text.len > 0) {
        size_t end = str_find(text, '\n', 0);

        out->at[count++] = (struct str){text.ptr, end};
        end = MIN(end + 1, text.len);
        text = (struct str){text.ptr + end, text.len - end};
    }
    out->count = count;
    return 0;
}

static void
all_differ(struct differ *d)
{
    for (size_t i = d->head; i < d->a.count - d->tail; i++)
        d->gone[i] = true;
    for (size_t i = d->head; i < d->b.count - d->tail; i++)
        d->new[i] = true;
}

/* How far x comes on diagonal k after d changes, from what d - 1 reached. */
static int
step_from(const int *v, int off, int d, int k)
{
    return k == -d || (k != d && v[off + k - 1] < v[off + k + 1]) ? v[off + k + 1]
                                                                  : v[off + k - 1] + 1;
}

static void
walk_back(struct differ *d, int *const *kept, int changes, int off, int x, int y)
{
    for (int c = changes; c > 0; c--) {
        const int *v = kept[c - 1];
        int k = x - y;
        bool down = k == -c || (k != c && v[off + k - 1] < v[off + k + 1]);
        int from_k = down ? k + 1 : k - 1, from_x = v[off + from_k], from_y = from_x - from_k;

        if (down)
            d->new[d->head + (size_t)from_y] = true;
        else
            d->gone[d->head + (size_t)from_x] = true;
        x = from_x;
        y = from_y;
    }
}

/* The middle, between what is the same at both ends. */
static int
find_changes(struct differ *d)
{
    int n = (int)(d->a.count - d->head - d->tail), m = (int)(d->b.count - d->head - d->tail);
    int most = MIN(n + m, CHANGES_MAX), off = most + 1, rc = 0, changes = 0;
    size_t width = 2 * (size_t)most + 3;
    int **kept = calloc((size_t)most + 1, sizeof(*kept));
    int *v = calloc(width, sizeof(*v));
    bool found = false;

    if (kept == NULL || v == NULL)
        rc = -ENOMEM;
    for (int c = 0; rc == 0 && !found && c <= most; c++) {
        for (int k = -c; !found && k <= c; k += 2) {
            int x = c == 0 ? 0 : step_from(v, off, c, k), y = x - k;

            while (x < n && y < m &&
                   str_eq(d->a.at[d->head + (size_t)x], d->b.at[d->head + (size_t)y]))
                x++, y++;
            v[off + k] = x;
            found = x >= n && y >= m;
        }
        changes = c;
        if (found)
            break;
        kept[c] = malloc(width * sizeof(*v));
        if (kept[c] == NULL)
            rc = -ENOMEM;
        else
            memcpy(kept[c], v, width * sizeof(*v));
    }
    if (rc == 0 && found)
        walk_back(d, kept, changes, off, n, m);
    else if (rc == 0)
        all_differ(d);
    for (int c = 0; kept != NULL && c <= most; c++)
        free(kept[c]);
    free(kept);
    free(v);
    return rc;
}

static void
add_line(struct buf *out, char mark, struct str line)
{
    buf_add_char(out, mark);
    buf_add_str(out, line);
    buf_add_char(out, '\n');
}

/* From (i, j), where something differs, to the end of its hunk: with no more than twice the context of
 * the same in between. */
static void
write_hunk(const struct differ *d, size_t *i, size_t *j, struct buf *out)
{
    size_t before = MIN(MIN(*i, *j), (size_t)CONTEXT), a = *i - before, b = *j - before;
    size_t end_a = *i, end_b = *j, same = 0, x = *i, y = *j;

    while (x < d->a.count || y < d->b.count) {
        bool gone = x < d->a.count && d->gone[x], new = y < d->b.count && d->new[y];

        if (!gone && !new && ++same > 2 * CONTEXT)
            break;
        if (gone || new)
            same = 0;
        if (gone)
            x++;
        else if (new)
            y++;
        else
            x++, y++;
        if (gone || new) {
            end_a = x;
            end_b = y;
        }
    }
    end_a = MIN(end_a + CONTEXT, d->a.count);
    end_b = MIN(end_b + CONTEXT, d->b.count);
    buf_add_fmt(out, "@@ -%zu,%zu +%zu,%zu @@\n", end_a > a ? a + 1 : a, end_a - a,
                end_b > b ? b + 1 : b, end_b - b);
    while (a < end_a || b < end_b) {
        if (a < end_a && d->gone[a])
            add_line(out, '-', d->a.at[a++]);
        else if (b < end_b && d->new[b])
            add_line(out, '+', d->b.at[b++]);
        else
            add_line(out, ' ', d->a.at[a++]), b++;
    }
    *i = end_a;
    *j = end_b;
}

static void
write_hunks(const struct differ *d, struct buf *out)
{
    size_t i = 0, j = 0;

    while (i < d->a.count || j < d->b.count) {
        if ((i < d->a.count && d->gone[i]) || (j < d->b.count && d->new[j]))
            write_hunk(d, &i, &j, out);
        else
            i++, j++;
    }
}

static void
same_ends(struct differ *d)
{
    size_t least = MIN(d->a.count, d->b.count);

    while (d->head < least && str_eq(d->a.at[d->head], d->b.at[d->head]))
        d->head++;
    while (d->tail < least - d->head && str_eq(d->a.at[d->a.count - 1 - d->tail],
                                               d->b.at[d->b.count - 1 - d->tail]))
        d->tail++;
}

int
diff_unified(struct str before, struct str after, struct buf *out)
{
    struct differ d = {0};
    int rc = lines_split(before, &d.a);

    if (rc == 0)
        rc = lines_split(after, &d.b);
    d.gone = calloc(d.a.count + 1, sizeof(*d.gone));
    d.new = calloc(d.b.count + 1, sizeof(*d.new));
    if (d.gone == NULL || d.new == NULL)
        rc = -ENOMEM;
    if (rc == 0) {
        same_ends(&d);
        rc = find_changes(&d);
    }
    if (rc == 0)
        write_hunks(&d, out);
    if (rc == 0 && out->failed)
        rc = -ENOMEM;
    free(d.gone);
    free(d.new);
    free(d.a.at);
    free(d.b.at);
    return rc;
}
