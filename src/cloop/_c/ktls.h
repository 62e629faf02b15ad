/* Kernel TLS for sending: the kernel makes the records of what is written to a TCP socket.
 *
 * OpenSSL asks the BIO that it writes to whether it can do so, when it has the keys for the
 * application's data: BIO_CTRL_SET_KTLS, with what setsockopt(TLS_TX) takes. Ours is a memory BIO
 * which can't; a callback of the BIO answers for it, and remembers of each record that is written
 * from then on, now as plaintext, what type it is, and new keys in their place among the records.
 * Receiving is left to OpenSSL.
 *
 * The numbers are those of <openssl/bio.h> in every 3.x, and of <linux/tls.h>.
 */
#ifndef CLOOP_KTLS_H
#define CLOOP_KTLS_H

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#if defined(__linux__)

#include <dlfcn.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <unistd.h>

enum {
  CLOOP_BIO_CB_FREE = 1,
  CLOOP_BIO_CB_WRITE = 3,
  CLOOP_BIO_CB_CTRL = 6,
  CLOOP_BIO_CB_RETURN = 0x80,
  CLOOP_BIO_CTRL_INFO = 3,
  CLOOP_BIO_CTRL_SET_KTLS = 72,
  CLOOP_BIO_CTRL_GET_KTLS_SEND = 73,
  CLOOP_BIO_CTRL_SET_RECORD_TYPE = 74,
  CLOOP_BIO_CTRL_CLEAR_RECORD_TYPE = 75,

  CLOOP_TCP_ULP = 31,
  CLOOP_SOL_TLS = 282,
  CLOOP_TLS_TX = 1,
  CLOOP_TLS_SET_RECORD_TYPE = 1,
  CLOOP_TLS_1_2 = 0x0303,
  CLOOP_TLS_1_3 = 0x0304,
  CLOOP_APPLICATION_DATA = 23,
  /* No type of TLS's: the keys for all that comes behind. */
  CLOOP_NEW_KEYS = 256,
  CLOOP_KEYS_SIZE = 56
};

typedef struct {
  int type;
  size_t size;
  unsigned char keys[CLOOP_KEYS_SIZE];
} cloop_record;

/* It belongs to the BIO, and is freed with it. */
typedef struct {
  void *bio;
  int fd;    /* the socket, while nothing that was written before is on its way to it; else -1 */
  int tls12; /* which versions it may be used for */
  int tls13;
  int on;             /* the kernel makes the records */
  int type;           /* of the record that is written next; 0: the application's data */
  cloop_record *made; /* those in the BIO, and keys: `first` to `count` */
  size_t first, count, room;
} cloop_ktls;

typedef long (*cloop_bio_callback)(void *bio, int oper, const char *argp, size_t len, int argi,
                                   long argl, int ret, size_t *processed);

static struct {
  void (*set_callback)(void *bio, cloop_bio_callback callback);
  void (*set_callback_arg)(void *bio, char *arg);
  char *(*get_callback_arg)(const void *bio);
  long (*ctrl)(void *bio, int cmd, long larg, void *parg);
  int (*read)(void *bio, void *to, int size);
  int (*up_ref)(void *bio);
  int (*free)(void *bio);
} cloop_bio;

/* Whether the kernel can be given new keys later, which those of TLS 1.3 call for: Linux 6.14.
 * It says so by counting them. */
static int cloop_ktls_rekeys(void) {
  static int known = -1;
  char text[4096];
  size_t size = 0;
  ssize_t n;
  int fd;
  if (known >= 0)
    return known;
  fd = open("/proc/net/tls_stat", O_RDONLY | O_CLOEXEC);
  if (fd < 0)
    return 0;
  while (size < sizeof(text) - 1 && (n = read(fd, text + size, sizeof(text) - 1 - size)) > 0)
    size += (size_t)n;
  close(fd);
  text[size] = 0;
  return known = strstr(text, "TlsTxRekeyOk") != NULL;
}

/* How much of what OpenSSL has prepared the kernel takes, by its cipher; 0: not known. */
static socklen_t cloop_ktls_size(int cipher) {
  switch (cipher) {
  case 51: /* AES_GCM_128 */
  case 53: /* AES_CCM_128 */
    return 40;
  case 52: /* AES_GCM_256 */
  case 54: /* CHACHA20_POLY1305 */
    return 56;
  default:
    return 0;
  }
}

/* Forget `size` bytes at the BIO's beginning. */
static int cloop_ktls_skip(cloop_ktls *self, size_t size) {
  char dropped[1024];
  while (size > 0) {
    int step = (int)(size < sizeof(dropped) ? size : sizeof(dropped));
    if (cloop_bio.read(self->bio, dropped, step) != step) {
      errno = EIO;
      return -1;
    }
    size -= (size_t)step;
  }
  return 0;
}

/* Send what the BIO has, which is encrypted already: whether all is sent. */
static int cloop_ktls_flush(cloop_ktls *self) {
  char *start = NULL;
  long size = cloop_bio.ctrl(self->bio, CLOOP_BIO_CTRL_INFO, 0, &start);
  ssize_t sent;
  if (size <= 0)
    return size == 0;
  sent = send(self->fd, start, (size_t)size, MSG_NOSIGNAL | MSG_DONTWAIT);
  return sent > 0 && cloop_ktls_skip(self, (size_t)sent) == 0 && sent == size;
}

static ssize_t cloop_ktls_send_one(int fd, int type, char *start, size_t size) {
  union {
    struct cmsghdr head;
    char room[CMSG_SPACE(1)];
  } control;
  struct iovec piece = {start, size};
  struct msghdr message;
  memset(&message, 0, sizeof(message));
  memset(&control, 0, sizeof(control));
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  if (type != CLOOP_APPLICATION_DATA) {
    message.msg_control = control.room;
    message.msg_controllen = sizeof(control.room);
    control.head.cmsg_level = CLOOP_SOL_TLS;
    control.head.cmsg_type = CLOOP_TLS_SET_RECORD_TYPE;
    control.head.cmsg_len = CMSG_LEN(1);
    *CMSG_DATA(&control.head) = (unsigned char)type;
    message.msg_controllen = control.head.cmsg_len;
  }
  return sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* So that the compiler does not take it for useless. */
static void cloop_wipe(unsigned char *keys) {
  volatile unsigned char *end = keys + CLOOP_KEYS_SIZE;
  while (end > keys)
    *--end = 0;
}

static int cloop_ktls_set_keys(int fd, cloop_record *record) {
  int failed = setsockopt(fd, CLOOP_SOL_TLS, CLOOP_TLS_TX, record->keys, (socklen_t)record->size) < 0;
  cloop_wipe(record->keys);
  record->size = 0;
  return failed ? -1 : 0;
}

/* Send one record of the BIO's, as what it is, or the part of it that the kernel takes. */
static int cloop_ktls_send_first(cloop_ktls *self, int fd, cloop_record *record) {
  char *start = NULL;
  long size = cloop_bio.ctrl(self->bio, CLOOP_BIO_CTRL_INFO, 0, &start);
  ssize_t sent;
  if (size < 0 || (size_t)size < record->size) {
    errno = EIO; /* Somebody else has read it. */
    return -1;
  }
  sent = cloop_ktls_send_one(fd, record->type, start, record->size);
  if (sent < 0 || cloop_ktls_skip(self, (size_t)sent) < 0)
    return -1;
  record->size -= (size_t)sent;
  return 0;
}

/* Send the records that OpenSSL has made since the kernel encrypts, and set its new keys: 1 if all are
 * with the kernel, 0 if it takes no more for now, -1 with errno. */
static int cloop_ktls_send(cloop_ktls *self, int fd) {
  while (self->first < self->count) {
    cloop_record *record = &self->made[self->first];
    int result = record->type == CLOOP_NEW_KEYS ? cloop_ktls_set_keys(fd, record)
                                                : cloop_ktls_send_first(self, fd, record);
    if (result < 0)
      return errno == EAGAIN || errno == EINTR ? 0 : -1;
    if (record->size == 0)
      self->first++;
  }
  self->first = self->count = 0;
  return 1;
}

/* Room for one more: NULL without memory. */
static cloop_record *cloop_ktls_add(cloop_ktls *self, int type, size_t size) {
  cloop_record *record;
  if (self->count == self->room) {
    size_t room = self->room ? 2 * self->room : 4;
    /* No realloc, which would leave keys behind. */
    cloop_record *made = calloc(room, sizeof(cloop_record));
    size_t i;
    if (made == NULL)
      return NULL;
    for (i = 0; i < self->count; i++) {
      made[i] = self->made[i];
      cloop_wipe(self->made[i].keys);
    }
    free(self->made);
    self->made = made;
    self->room = room;
  }
  record = &self->made[self->count++];
  record->type = type;
  record->size = size;
  return record;
}

/* OpenSSL offers its first keys: whether the kernel uses them from now on. */
static int cloop_ktls_start(cloop_ktls *self, int version, void *keys, socklen_t size) {
  if (self->fd < 0 || (version == CLOOP_TLS_1_3 ? !self->tls13 : version != CLOOP_TLS_1_2 || !self->tls12))
    return 0;
  if (setsockopt(self->fd, IPPROTO_TCP, CLOOP_TCP_ULP, "tls", sizeof("tls")) < 0 && errno != EEXIST)
    return 0;
  if (version == CLOOP_TLS_1_3 && !cloop_ktls_rekeys())
    return 0;
  /* What comes before is encrypted otherwise. */
  if (!cloop_ktls_flush(self) || setsockopt(self->fd, CLOOP_SOL_TLS, CLOOP_TLS_TX, keys, size) < 0)
    return 0;
  self->on = 1;
  return 1;
}

/* It offers keys: whether they are used for what it writes from now on. */
static int cloop_ktls_take_keys(cloop_ktls *self, void *keys) {
  uint16_t head[2]; /* version, cipher */
  cloop_record *record;
  socklen_t size;
  memcpy(head, keys, sizeof(head));
  size = cloop_ktls_size(head[1]);
  if (size == 0)
    return 0;
  if (!self->on)
    return cloop_ktls_start(self, head[0], keys, size);
  if (head[0] != CLOOP_TLS_1_3)
    return 0;
  record = cloop_ktls_add(self, CLOOP_NEW_KEYS, size);
  if (record == NULL)
    return 0;
  memcpy(record->keys, keys, size);
  return 1;
}

/* A record was written: whether there was memory to remember it. */
static int cloop_ktls_note(cloop_ktls *self, size_t size) {
  int type = self->type ? self->type : CLOOP_APPLICATION_DATA;
  self->type = 0;
  return size == 0 || cloop_ktls_add(self, type, size) != NULL;
}

static long cloop_ktls_answer(cloop_ktls *self, int cmd, long larg, void *parg, long ret) {
  switch (cmd) {
  case CLOOP_BIO_CTRL_SET_KTLS:
    return larg != 0 && parg != NULL && cloop_ktls_take_keys(self, parg);
  case CLOOP_BIO_CTRL_GET_KTLS_SEND:
    return self->on;
  case CLOOP_BIO_CTRL_SET_RECORD_TYPE:
    self->type = (int)larg;
    return 0;
  case CLOOP_BIO_CTRL_CLEAR_RECORD_TYPE:
    self->type = 0;
    return 0;
  default:
    return ret;
  }
}

static void cloop_ktls_forget(cloop_ktls *self) {
  size_t i;
  for (i = self->first; i < self->count; i++)
    cloop_wipe(self->made[i].keys);
  free(self->made);
}

/* What OpenSSL calls before and after each operation of the BIO; what it returns after one is the
 * operation's result. */
static long cloop_ktls_callback(void *bio, int oper, const char *argp, size_t len, int argi, long argl,
                                int ret, size_t *processed) {
  cloop_ktls *self = (cloop_ktls *)cloop_bio.get_callback_arg(bio);
  (void)len;
  if (self == NULL)
    return ret;
  if (oper == CLOOP_BIO_CB_FREE) {
    cloop_ktls_forget(self);
    free(self);
    cloop_bio.set_callback_arg(bio, NULL);
  } else if (oper == (CLOOP_BIO_CB_CTRL | CLOOP_BIO_CB_RETURN)) {
    return cloop_ktls_answer(self, argi, argl, (void *)argp, ret);
  } else if (oper == (CLOOP_BIO_CB_WRITE | CLOOP_BIO_CB_RETURN)) {
    if (self->on && ret > 0 && processed != NULL && !cloop_ktls_note(self, *processed))
      return -1;
  }
  return ret;
}

/* Find the functions in the library that _ssl has loaded: whether all are there. */
static int cloop_ktls_load(void *library) {
  *(void **)&cloop_bio.set_callback = dlsym(library, "BIO_set_callback_ex");
  *(void **)&cloop_bio.set_callback_arg = dlsym(library, "BIO_set_callback_arg");
  *(void **)&cloop_bio.get_callback_arg = dlsym(library, "BIO_get_callback_arg");
  *(void **)&cloop_bio.ctrl = dlsym(library, "BIO_ctrl");
  *(void **)&cloop_bio.read = dlsym(library, "BIO_read");
  *(void **)&cloop_bio.up_ref = dlsym(library, "BIO_up_ref");
  *(void **)&cloop_bio.free = dlsym(library, "BIO_free");
  return cloop_bio.set_callback && cloop_bio.set_callback_arg && cloop_bio.get_callback_arg &&
         cloop_bio.ctrl && cloop_bio.read && cloop_bio.up_ref && cloop_bio.free;
}

/* Answer for a memory BIO whose content goes to a socket. NULL without memory. */
static cloop_ktls *cloop_ktls_new(void *bio, int tls12, int tls13) {
  cloop_ktls *self = calloc(1, sizeof(cloop_ktls));
  if (self == NULL)
    return NULL;
  if (!cloop_bio.up_ref(bio)) {
    free(self);
    return NULL;
  }
  self->bio = bio;
  self->fd = -1;
  self->tls12 = tls12;
  self->tls13 = tls13;
  cloop_bio.set_callback_arg(bio, (char *)self);
  cloop_bio.set_callback(bio, cloop_ktls_callback);
  return self;
}

static void cloop_ktls_drop(cloop_ktls *self) {
  self->fd = -1;
  /* Others may have the BIO yet. */
  cloop_bio.free(self->bio);
}

#else

typedef struct {
  int fd, on;
  size_t first, count;
} cloop_ktls;

static int cloop_ktls_load(void *library) {
  (void)library;
  return 0;
}

static cloop_ktls *cloop_ktls_new(void *bio, int tls12, int tls13) {
  (void)bio, (void)tls12, (void)tls13;
  return NULL;
}

static int cloop_ktls_send(cloop_ktls *self, int fd) {
  (void)self, (void)fd;
  errno = ENOSYS;
  return -1;
}

static void cloop_ktls_drop(cloop_ktls *self) { (void)self; }

#endif
#endif
