#include "cli/progress.h"

#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define PAUSE_NS 200000000L

const char *
progress_bytes(uint64_t bytes, char *out)
{
    static const char *const unit[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
    uint64_t tenths = bytes * 10;
    unsigned u = 0;

    for (; tenths >= 10240 && u + 1 < COUNT_OF(unit); u++)
        tenths /= 1024;
    if (u == 0)
        snprintf(out, 24, "%llu bytes", (unsigned long long)bytes);
    else
        snprintf(out, 24, "%llu.%llu %s", (unsigned long long)(tenths / 10),
                 (unsigned long long)(tenths % 10), unit[u]);
    return out;
}

static void *
progress_main(void *arg)
{
    const struct timespec pause = {.tv_nsec = PAUSE_NS};
    struct progress *progress = arg;

    while (!atomic_load_explicit(&progress->stop, memory_order_relaxed)) {
        uint64_t done = 0, about = 0;
        char done_text[24], about_text[24];

        progress->look(progress->arg, &done, &about);
        if (done > 0) {
            fprintf(stderr, "\r%s: %s", progress->what, progress_bytes(done, done_text));
            if (about > done)
                fprintf(stderr, " of about %s", progress_bytes(about, about_text));
            fprintf(stderr, "\033[K");
            progress->shown = true;
        }
        (void)nanosleep(&pause, NULL);
    }
    return NULL;
}

void
progress_start(struct progress *progress)
{
    if (isatty(STDERR_FILENO))
        progress->runs = pthread_create(&progress->thread, NULL, progress_main, progress) == 0;
}

void
progress_end(struct progress *progress)
{
    if (!progress->runs)
        return;
    atomic_store_explicit(&progress->stop, true, memory_order_relaxed);
    pthread_join(progress->thread, NULL);
    if (progress->shown)
        fprintf(stderr, "\r\033[K");
    progress->runs = false;
}
