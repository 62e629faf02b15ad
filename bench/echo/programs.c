/* The C programs of this folder as functions of one extension module, for wheels: whoever installs one may
 * have no compiler. load(argv) and server(argv) are the programs' main(), and end the process. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdlib.h>

extern int load_main(int argc, char **argv);
extern int server_main(int argc, char **argv);

static PyObject *run(int (*program)(int, char **), PyObject *words)
{
    PyObject *sequence = PySequence_Fast(words, "argv must be a sequence");
    if (sequence == NULL)
        return NULL;
    Py_ssize_t count = PySequence_Fast_GET_SIZE(sequence);
    char **argv = PyMem_Calloc((size_t)count + 1, sizeof *argv);
    if (argv == NULL)
        return PyErr_NoMemory();
    for (Py_ssize_t i = 0; i < count; i++) {
        const char *word = PyUnicode_AsUTF8(PySequence_Fast_GET_ITEM(sequence, i));
        if (word == NULL)
            return NULL;
        argv[i] = (char *)word; /* the sequence lives as long as the process */
    }
    /* Nothing of Python runs any more. */
    exit(program((int)count, argv));
}

static PyObject *load(PyObject *module, PyObject *words)
{
    (void)module;
    return run(load_main, words);
}

static PyObject *server(PyObject *module, PyObject *words)
{
    (void)module;
    return run(server_main, words);
}

static PyMethodDef methods[] = {
    {"load", load, METH_O, "load(argv): run load.c's main() and end the process."},
    {"server", server, METH_O, "server(argv): run server.c's main() and end the process."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "programs", "load.c and server.c as functions.", 0, methods, NULL, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit_programs(void);

PyMODINIT_FUNC PyInit_programs(void)
{
    return PyModuleDef_Init(&definition);
}
