"""<dlfcn.h>."""

cdef extern from "<dlfcn.h>":
    void *dlopen(const char *path, int mode)
    void *dlsym(void *handle, const char *name)
    const int RTLD_NOW
    const int RTLD_NOLOAD
