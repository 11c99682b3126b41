/* Files of backups from any bytes: as they are, which the hashes stop; and as what stands in frames with right
 * hashes, as somebody may make them. The reader stays inside, and gives back what was written. */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/str.h"
#include "ledger/backup.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static void
read_all(int fd, struct str head, struct str data)
{
    enum db_table table_of[DB_TABLE_COUNT];
    struct backup_about about;
    struct backup_in in;
    struct str key, value;
    unsigned table_count, frames = 0;
    uint8_t table;

    (void)!lseek(fd, 0, SEEK_SET);
    backup_in_start(&in, fd);
    while (backup_in_frame(&in) == 0) {
        struct str written = frames == 0 ? head : data;

        if (written.ptr != NULL && frames < 2)
            ASSERT(str_eq(in.payload, written));
        frames++;
        if (in.kind == BACKUP_HEAD &&
            backup_about_read(in.payload, &about, table_of, &table_count) == 0)
            ASSERT(table_count <= DB_TABLE_COUNT);
        while (in.kind != BACKUP_END && backup_in_entry(&in, &table, &key, &value)) {
            ASSERT(key.len > 0);
            ASSERT(value.ptr + value.len <= in.payload.ptr + in.payload.len);
        }
        if (in.kind == BACKUP_END)
            (void)!backup_in_over(&in);
    }
    if (head.ptr != NULL)
        ASSERT(frames == 3);
    backup_in_end(&in);
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct str all = {(const char *)bytes, len};
    size_t half = len > 0 ? MIN((size_t)bytes[0] * 4, len - 1) : 0;
    struct str head = {(const char *)bytes + (len > 0), half};
    struct str data = {head.ptr + half, len - (len > 0) - half};
    struct backup_out out;
    int fd = memfd_create("fuzz", MFD_CLOEXEC);

    if (fd < 0)
        return 0;
    if (write(fd, bytes, len) == (ssize_t)len)
        read_all(fd, STR_NONE, STR_NONE);
    (void)!backup_in_peek(all).len;
    (void)!ftruncate(fd, 0);
    (void)!lseek(fd, 0, SEEK_SET);
    backup_out_start(&out, fd, NULL, NULL);
    if (len > 0 && backup_out_note(&out, BACKUP_HEAD, head) == 0 &&
        backup_out_note(&out, BACKUP_DATA, data) == 0 &&
        backup_out_note(&out, BACKUP_END, STR("{}")) == 0)
        read_all(fd, head, data);
    backup_out_end(&out);
    close(fd);
    return 0;
}
