#include "cli/whole_file.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

int
whole_file_write(const char *path, struct str text)
{
    char part[4096];
    FILE *file;
    int rc = 0;

    if ((size_t)snprintf(part, sizeof(part), "%s.part", path) >= sizeof(part))
        return -ENAMETOOLONG;
    file = fopen(part, "we");
    if (file == NULL)
        return -errno;
    if (fwrite(text.ptr, 1, text.len, file) != text.len || fflush(file) != 0 ||
        fsync(fileno(file)) != 0)
        rc = -errno;
    if (fclose(file) != 0 && rc == 0)
        rc = -errno;
    if (rc == 0 && rename(part, path) != 0)
        rc = -errno;
    if (rc != 0)
        unlink(part);
    return rc;
}
