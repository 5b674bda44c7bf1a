//! What a hostile or faulty peer does, case by case, and what must come of it.
