/* Addresses: from and to the kernel's form, and as text. */
#include "net/net.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

void
net_addr_from(struct net_addr *addr, const struct sockaddr *sa)
{
    memset(addr, 0, sizeof(*addr));
    if (sa->sa_family == AF_INET) {
        struct sockaddr_in in;

        memcpy(&in, sa, sizeof(in));
        memcpy(addr->ip, &in.sin_addr, 4);
        addr->port = ntohs(in.sin_port);
        addr->family = 4;
    } else if (sa->sa_family == AF_INET6) {
        struct sockaddr_in6 in6;

        memcpy(&in6, sa, sizeof(in6));
        memcpy(addr->ip, &in6.sin6_addr, 16);
        addr->port = ntohs(in6.sin6_port);
        addr->family = 6;
    }
}

void
net_addr_mapped(const struct net_addr *addr, uint8_t out[16])
{
    if (addr->family == 4) {
        memset(out, 0, 10);
        out[10] = out[11] = 0xff;
        memcpy(out + 12, addr->ip, 4);
    } else {
        memcpy(out, addr->ip, 16);
    }
}

unsigned
net_addr_to(const struct net_addr *addr, struct sockaddr_storage *ss)
{
    memset(ss, 0, sizeof(*ss));
    if (addr->family == 4) {
        struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(addr->port)};

        memcpy(&in.sin_addr, addr->ip, 4);
        memcpy(ss, &in, sizeof(in));
        return sizeof(in);
    }
    if (addr->family == 6) {
        struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(addr->port)};

        memcpy(&in6.sin6_addr, addr->ip, 16);
        memcpy(ss, &in6, sizeof(in6));
        return sizeof(in6);
    }
    return 0;
}

char *
net_addr_text(const struct net_addr *addr, char *out)
{
    char ip[INET6_ADDRSTRLEN];

    out[0] = '\0';
    if (addr->family == 4 && inet_ntop(AF_INET, addr->ip, ip, sizeof(ip)) != NULL)
        (void)snprintf(out, NET_ADDR_TEXT, "%s:%u", ip, addr->port);
    else if (addr->family == 6 && inet_ntop(AF_INET6, addr->ip, ip, sizeof(ip)) != NULL)
        (void)snprintf(out, NET_ADDR_TEXT, "[%s]:%u", ip, addr->port);
    return out;
}
