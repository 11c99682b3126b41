/* A file is there whole or not at all, on file systems that have files without names and on others. */
/* link: -Wl,--wrap=openat */
#include "test/unit/testing.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "cli/outfile.h"

int __real_openat(int dir_fd, const char *path, int flags, ...);
int __wrap_openat(int dir_fd, const char *path, int flags, ...);

static bool without_unnamed; /* as NFS is, or old kernels' overlays */
static char dir[64], path[96];

int
__wrap_openat(int dir_fd, const char *name, int flags, ...)
{
    if (without_unnamed && (flags & O_TMPFILE) == O_TMPFILE) {
        errno = EOPNOTSUPP;
        return -1;
    }
    return __real_openat(dir_fd, name, flags, 0600);
}

static int
setup(void **state)
{
    (void)state;
    snprintf(dir, sizeof(dir), "/dev/shm/turnpike-test-XXXXXX");
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/file", dir);
    without_unnamed = false;
    assert_non_null(freopen("/dev/null", "w", stderr));
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    (void)unlink(path);
    assert_int_equal(rmdir(dir), 0); /* and nothing else was left */
    return 0;
}

static unsigned
entries(void)
{
    DIR *open = opendir(dir);
    unsigned count = 0;

    assert_non_null(open);
    for (struct dirent *e; (e = readdir(open)) != NULL;)
        count += e->d_name[0] != '.' || strncmp(e->d_name, ".turnpike", 9) == 0;
    closedir(open);
    return count;
}

static void
holds(const char *text)
{
    char bytes[64];
    struct stat st;
    int fd = open(path, O_RDONLY);
    ssize_t n = read(fd, bytes, sizeof(bytes));

    assert_int_equal(fstat(fd, &st), 0);
    close(fd);
    assert_int_equal(n, strlen(text));
    assert_memory_equal(bytes, text, strlen(text));
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(st.st_nlink, 1);
}

static void
both_ways(void)
{
    struct outfile out, other;

    assert_int_equal(outfile_open(&out, "test", path, false), CLI_DONE);
    assert_int_equal(write(out.fd, "one", 3), 3);
    assert_int_equal(access(path, F_OK), -1);
    assert_int_equal(outfile_keep(&out), CLI_DONE);
    holds("one");

    assert_int_equal(outfile_open(&out, "test", path, false), CLI_FAILED);
    assert_int_equal(outfile_open(&out, "test", path, true), CLI_DONE);
    assert_int_equal(write(out.fd, "two", 3), 3);
    holds("one");
    outfile_drop(&out);
    holds("one");
    assert_int_equal(entries(), 1);
    assert_int_equal(outfile_open(&out, "test", path, true), CLI_DONE);
    assert_int_equal(write(out.fd, "three", 5), 5);
    assert_int_equal(outfile_keep(&out), CLI_DONE);
    holds("three");
    assert_int_equal(unlink(path), 0);

    /* Two at a time: the second finds that it is there. */
    assert_int_equal(outfile_open(&out, "test", path, false), CLI_DONE);
    assert_int_equal(outfile_open(&other, "test", path, false), CLI_DONE);
    assert_int_equal(write(out.fd, "first", 5), 5);
    assert_int_equal(write(other.fd, "second", 6), 6);
    assert_int_equal(outfile_keep(&out), CLI_DONE);
    assert_int_equal(outfile_keep(&other), CLI_FAILED);
    holds("first");
    assert_int_equal(entries(), 1);
}

static void
unnamed(void **state)
{
    (void)state;
    both_ways();
}

static void
named(void **state)
{
    (void)state;
    without_unnamed = true;
    both_ways();
}

static void
places(void **state)
{
    char longest[512];
    struct outfile out;

    (void)state;
    assert_int_equal(outfile_open(&out, "test", dir, false), CLI_FAILED);
    snprintf(longest, sizeof(longest), "%s/", path);
    assert_int_equal(outfile_open(&out, "test", longest, false), CLI_FAILED);
    snprintf(longest, sizeof(longest), "%s/%0300d", dir, 1);
    assert_int_equal(outfile_open(&out, "test", longest, false), CLI_FAILED);
    assert_int_equal(chdir(dir), 0);
    assert_int_equal(outfile_open(&out, "test", "file", false), CLI_DONE); /* where we are */
    assert_int_equal(write(out.fd, "here", 4), 4);
    assert_int_equal(outfile_keep(&out), CLI_DONE);
    holds("here");
    assert_int_equal(chdir("/"), 0);
    assert_int_equal(outfile_open(&out, "test", "/dev/null", false), CLI_DONE);
    assert_true(out.is_stream);
    assert_int_equal(outfile_keep(&out), CLI_DONE);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {TEST(unnamed), TEST(named), TEST(places)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
