# The guest is saved and restored.
cycle() { save_and_restore; }
