-- Title of the challenge, for display; null if the engine sends none.
ALTER TABLE challenge ADD COLUMN title TEXT;
