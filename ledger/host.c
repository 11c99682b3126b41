/* The clocks of the world, for a ledger that no test steps. */
#include "ledger/core.h"

#include "base/clock.h"

#include <time.h>

int64_t
ledger_host_wall_us(void *arg)
{
    (void)arg;
    return clock_wall_us();
}

uint64_t
ledger_host_mono_us(void *arg)
{
    (void)arg;
    return clock_mono_us();
}

void
ledger_host_pause(void *arg, uint32_t us)
{
    struct timespec wait = {.tv_nsec = (long)us * 1000};

    (void)arg;
    nanosleep(&wait, NULL);
}
