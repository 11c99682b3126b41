/* Limits, clock, kernel and memory of the machine. */
#include "cli/doctor.h"

#include <errno.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/timex.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/str.h"
#include "net/listen.h"

#define MIB (UINT64_C(1) << 20)
#define DESCRIPTORS_SPARE 128 /* of a worker: listeners, eventfds, log, control */
#define CONNECTIONS_DEFAULT 20000
#define WORKERS_MAX 32
#define REGION_BYTES (16 * MIB) /* of a start with one worker; each more takes a table: */
#define TABLE_BYTES (10 * MIB)
#define JUMP_US 50000
#define LOOK_MS 200

/* The first number of a file of the kernel's; false: it is not there. */
static bool
kernel_number(const char *path, uint64_t *out)
{
    FILE *file = fopen(path, "re");
    unsigned long long n = 0;
    bool read = file != NULL && fscanf(file, "%llu", &n) == 1;

    if (file != NULL)
        fclose(file);
    *out = n;
    return read;
}

/* Of a worker: it takes its share of the clients, and serves each by one connection to an upstream at most. */
static uint64_t
descriptors_wanted(const struct conf *conf, uint64_t clients)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    uint64_t workers = (uint64_t)MIN(MAX(cores, 1), WORKERS_MAX);
    uint64_t share = (clients + workers - 1) / workers, upstreams = 0;

    for (size_t i = 0; conf != NULL && i < conf->upstream_count; i++)
        upstreams += conf->upstreams[i].connections_max;
    return share + MIN(upstreams, share) + DESCRIPTORS_SPARE;
}

void
doctor_descriptors(const struct doctor *doctor, const void *arg, struct doctor_report *report)
{
    uint64_t clients = doctor->conf != NULL ? doctor->conf->limits.connections : CONNECTIONS_DEFAULT;
    uint64_t want = descriptors_wanted(doctor->conf, clients);
    struct rlimit limit;
    uint64_t all;

    (void)arg;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        doctor_say(report, DOCTOR_WARN, "descriptors", NULL, "%s", strerror(errno));
        return;
    }
    if (limit.rlim_max < want)
        doctor_say(report, limit.rlim_max < 1024 ? DOCTOR_FAIL : DOCTOR_WARN, "descriptors",
                   "raise it (LimitNOFILE= of the unit, ulimit -Hn), or lower limits connections",
                   "a process may have %llu; with a worker a core, %llu client connections want %llu",
                   (unsigned long long)limit.rlim_max, (unsigned long long)clients,
                   (unsigned long long)want);
    else
        doctor_say(report, DOCTOR_OK, "descriptors", NULL,
                   "a process may have %llu; with a worker a core, %llu client connections want %llu",
                   (unsigned long long)limit.rlim_max, (unsigned long long)clients,
                   (unsigned long long)want);
    if (kernel_number("/proc/sys/fs/file-max", &all) && all < 2 * want)
        doctor_say(report, DOCTOR_WARN, "descriptors", "raise fs.file-max",
                   "the whole machine may have %llu", (unsigned long long)all);
}

/* How far the wall clock is ahead of the one that nobody sets. */
static int64_t
clock_offset_us(void)
{
    return clock_wall_us() - (int64_t)clock_mono_us();
}

static void
check_future(const struct doctor *doctor, struct doctor_report *report)
{
    int64_t now_s = clock_wall_us() / 1000000;
    char path[4200];
    struct stat st;

    if (snprintf(path, sizeof(path), "%s/store/data.mdb", doctor->state_dir) >= (int)sizeof(path) ||
        stat(path, &st) != 0 || st.st_mtim.tv_sec <= now_s + 2)
        return;
    doctor_say(report, DOCTOR_FAIL, "clock", "set the clock right before you serve",
               "the store was written %lld s from now: the clock was set back",
               (long long)(st.st_mtim.tv_sec - now_s));
}

void
doctor_clock(const struct doctor *doctor, const void *arg, struct doctor_report *report)
{
    const struct timespec pause = {.tv_nsec = LOOK_MS * 1000000L};
    int64_t before_us = clock_offset_us(), moved_us;
    struct timex timex = {.modes = 0};
    int state = adjtimex(&timex);

    (void)arg;
    if (state < 0)
        doctor_say(report, DOCTOR_WARN, "clock", NULL, "whether it is synchronised is not told: %s",
                   strerror(errno));
    else if (state == TIME_ERROR || (timex.status & STA_UNSYNC) != 0)
        doctor_say(report, DOCTOR_WARN, "clock",
                   "run chrony or systemd-timesyncd: budgets by the day, expiry of keys and "
                   "certificates go by it",
                   "it is not synchronised");
    else
        doctor_say(report, DOCTOR_OK, "clock", NULL, "synchronised, by %ld ms at most",
                   timex.maxerror / 1000);
    check_future(doctor, report);
    (void)nanosleep(&pause, NULL);
    moved_us = clock_offset_us() - before_us;
    if (llabs(moved_us) > JUMP_US)
        doctor_say(report, DOCTOR_WARN, "clock", "see what sets it: two of them, or a virtual machine's host",
                   "it jumped by %lld ms within %d ms", (long long)moved_us / 1000, LOOK_MS);
}

/* ---- kernel ---- */

static void
check_least(struct doctor_report *report, const char *path, const char *name, uint64_t least)
{
    char todo[128];
    uint64_t n;

    if (!kernel_number(path, &n))
        return; /* another kernel, or a container that does not show it */
    (void)snprintf(todo, sizeof(todo), "sysctl -w %s=%llu", name, (unsigned long long)least);
    doctor_say(report, n < least ? DOCTOR_WARN : DOCTOR_OK, "kernel", n < least ? todo : NULL,
               "%s is %llu", name, (unsigned long long)n);
}

static void
check_ports(const struct doctor *doctor, struct doctor_report *report)
{
    FILE *file = fopen("/proc/sys/net/ipv4/ip_local_port_range", "re");
    unsigned from = 0, to = 0;
    uint64_t most = 0, count;

    if (file != NULL && fscanf(file, "%u %u", &from, &to) != 2)
        from = to = 0;
    if (file != NULL)
        fclose(file);
    if (to <= from)
        return;
    count = to - from + 1;
    for (size_t i = 0; doctor->conf != NULL && i < doctor->conf->upstream_count; i++)
        most = MAX(most, doctor->conf->upstreams[i].connections_max);
    if (count < most)
        doctor_say(report, DOCTOR_WARN, "kernel",
                   "widen it: sysctl -w net.ipv4.ip_local_port_range=\"10000 65535\"",
                   "%llu local ports, and an upstream may have %llu connections",
                   (unsigned long long)count, (unsigned long long)most);
    else
        doctor_say(report, DOCTOR_OK, "kernel", NULL, "%llu local ports", (unsigned long long)count);
}

void
doctor_kernel(const struct doctor *doctor, const void *arg, struct doctor_report *report)
{
    (void)arg;
    check_least(report, "/proc/sys/net/core/somaxconn", "net.core.somaxconn", LISTEN_BACKLOG);
    check_least(report, "/proc/sys/net/ipv4/tcp_max_syn_backlog", "net.ipv4.tcp_max_syn_backlog",
                1024);
    check_ports(doctor, report);
}

/* ---- memory ---- */

/* vm.overcommit_memory = 2 counts private memory only, of which a worker has little; the memory file is
 * tmpfs's, and what LMDB maps is the disk's. No memory is locked. */
void
doctor_memory(const struct doctor *doctor, const void *arg, struct doctor_report *report)
{
    const char *dir = getenv("RUNTIME_DIRECTORY");
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    uint64_t want = REGION_BYTES + TABLE_BYTES * (uint64_t)MAX(cores, 1), bytes;
    struct statfs fs;

    (void)arg;
    dir = dir != NULL && dir[0] != '\0' ? dir : "/dev/shm";
    if (statfs(dir, &fs) != 0) {
        bool made = strcmp(dir, "/dev/shm") != 0 && errno == ENOENT;

        doctor_say(report, made ? DOCTOR_OK : DOCTOR_FAIL, "memory file",
                   made ? NULL : "mount a tmpfs there, or set RUNTIME_DIRECTORY to a folder on one",
                   made ? "%s is made at the start" : "%s: it cannot be looked at", dir);
        return;
    }
    bytes = (uint64_t)fs.f_bavail * (uint64_t)fs.f_bsize;
    if (fs.f_type != TMPFS_MAGIC && fs.f_type != RAMFS_MAGIC)
        doctor_say(report, DOCTOR_FAIL, "memory file", "set RUNTIME_DIRECTORY to a folder on a tmpfs",
                   "%s is not on a memory file system", dir);
    else if (bytes < REGION_BYTES)
        doctor_say(report, doctor->master_pid > 0 ? DOCTOR_WARN : DOCTOR_FAIL, "memory file",
                   "make it larger (--shm-size of a container, mount -o remount,size=…)",
                   "%s has %llu MiB free", dir, (unsigned long long)(bytes / MIB));
    else
        doctor_say(report, bytes < want ? DOCTOR_WARN : DOCTOR_OK, "memory file",
                   bytes < want ? "make it larger (--shm-size of a container), or serve with -w 1" : NULL,
                   "%s has %llu MiB free, a worker a core wants %llu", dir,
                   (unsigned long long)(bytes / MIB), (unsigned long long)(want / MIB));
}
