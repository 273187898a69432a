/* Preloaded into Janus: getifaddrs() lists loopback alone, and does not say that it is loopback, since libnice leaves
   such interfaces out. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <string.h>

int getifaddrs(struct ifaddrs **list) {
  int (*real)(struct ifaddrs **) = (int (*)(struct ifaddrs **))dlsym(RTLD_NEXT, "getifaddrs");
  int result = real(list);
  if (result != 0) return result;
  /* Entries are unlinked, not freed: freeifaddrs() frees the block that holds them all. The first entry is kept as the
     list's head, which is loopback on every system that has one. */
  for (struct ifaddrs **link = list; *link;) {
    if ((*link)->ifa_name && strcmp((*link)->ifa_name, "lo") != 0) {
      *link = (*link)->ifa_next;
    } else {
      (*link)->ifa_flags &= ~IFF_LOOPBACK;
      link = &(*link)->ifa_next;
    }
  }
  return 0;
}
