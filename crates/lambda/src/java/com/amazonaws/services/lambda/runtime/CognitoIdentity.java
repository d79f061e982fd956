package com.amazonaws.services.lambda.runtime;

/** The identity of a mobile application's user. */
public interface CognitoIdentity {
    String getIdentityId();

    String getIdentityPoolId();
}
