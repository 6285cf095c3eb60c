CREATE OR REPLACE VIEW `project.dcr_dataset.dcr_view`
OPTIONS (privacy_policy = "{\"aggregation_threshold_policy\": {\"threshold\" : 20, \"privacy_unit_columns\": \"id\"}}")
AS ( SELECT id, age, email, state, city FROM `project.thelook.users` );
