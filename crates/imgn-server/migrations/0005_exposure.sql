-- What a picture says of its making beside time and camera. Exposure and place are JSON, as the API tells them.
ALTER TABLE images ADD COLUMN lens TEXT;
ALTER TABLE images ADD COLUMN exposure TEXT;
ALTER TABLE images ADD COLUMN location TEXT;
