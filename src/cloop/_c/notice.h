/* Classes that tell when one of certain attributes of an instance is set (api/replaced). */
#ifndef CLOOP_NOTICE_H
#define CLOOP_NOTICE_H

#include "compat.h"

/* A __setattr__ in Python would be called for each attribute of each connection's objects. */
#define CLOOP_NOTICED_NAMES 32
static PyObject *cloop_noticed_names[CLOOP_NOTICED_NAMES];
static int cloop_noticed_count;
static int (*cloop_noticed)(PyObject *, PyObject *, PyObject *);

static int cloop_noticing_setattro(PyObject *self, PyObject *name, PyObject *value) {
  int i;
  if (PyObject_GenericSetAttr(self, name, value) < 0) return -1;
  /* Names that are set are interned. */
  for (i = 0; i < cloop_noticed_count; i++)
    if (name == cloop_noticed_names[i]) return cloop_noticed(self, name, value == NULL ? Py_None : value);
  return 0;
}

/* The name is never freed. To be called before the first class notices. */
static int cloop_notice_name(PyObject *name) {
  if (cloop_noticed_count == CLOOP_NOTICED_NAMES) {
    PyErr_SetString(PyExc_ValueError, "too many names");
    return -1;
  }
  Py_INCREF(name);
  PyUnicode_InternInPlace(&name);
  cloop_noticed_names[cloop_noticed_count++] = name;
  return 0;
}

/* Of this very class: one that is derived in Python gets a slot of its own. */
static void cloop_let_notice(PyTypeObject *type, int (*noticed)(PyObject *, PyObject *, PyObject *)) {
  cloop_noticed = noticed;
  type->tp_setattro = cloop_noticing_setattro;
  PyType_Modified(type);
}

#endif
